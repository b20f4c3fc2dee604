"""A real ValKey cluster of three masters, a real Sentinel, latencies, stream groups, TLS and a server in protected mode."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.valkey import Valkey, ValkeyOptions, modes
from servers import valkey as valkey_servers
from servers.process import free_port
from servers.valkey import RunningValkey
from tests.privileges.documented import lines
from tests.support.pages import Page, collected, page_where, series
from tests.support.servers import required

SLOTS = 16384
LOGS = ("+slowlog", "+commandlog")


def source(url: str, **more: object) -> Valkey:
    return Valkey(ValkeyOptions.model_validate({"url": (Address(url),), **more}))


async def first(reader: Valkey, fits: Callable[[Page], bool]) -> Page:
    """The first page that fits; what a server offers is known from the second collection on."""
    try:
        return await page_where(reader, fits)
    finally:
        for target in reader.targets():
            await target.close()


@contextlib.contextmanager
def cluster() -> Iterator[list[RunningValkey]]:
    """Three masters that share the hash slots."""
    args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
    with contextlib.ExitStack() as running:
        nodes = [running.enter_context(valkey_servers.start(args=args)) for _ in range(3)]
        share = SLOTS // len(nodes)
        for number, node in enumerate(nodes):
            with redis.Redis(port=node.port) as client:
                last = SLOTS - 1 if node is nodes[-1] else (number + 1) * share - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
                for other in nodes:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        yield nodes


async def test_a_cluster_that_loses_a_master() -> None:
    with cluster() as nodes:
        who = f'server="127.0.0.1:{nodes[0].port}"'
        page = await first(source(nodes[0].url), lambda page: page.get(f"valkey_cluster_state_ok{{{who}}}") == 1)
        slots = {state: page[f'valkey_cluster_slots{{{who},state="{state}"}}'] for state in ("assigned", "ok", "fail")}
        assert slots == {"assigned": SLOTS, "ok": SLOTS, "fail": 0}
        assert (page[f"valkey_cluster_known_nodes{{{who}}}"], page[f"valkey_cluster_size{{{who}}}"]) == (3, 3)
        assert page[f'fleet_exporter_lookup_up{{source="valkey",{who},lookup="cluster"}}'] == 1

        nodes[2].process.kill()
        page = await first(source(nodes[0].url), lambda page: page.get(f"valkey_cluster_state_ok{{{who}}}") == 0)
        assert page[f'valkey_cluster_slots{{{who},state="ok"}}'] < SLOTS


async def test_a_sentinel_and_the_master_it_watches() -> None:
    with valkey_servers.start() as master:
        config = f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\nsentinel down-after-milliseconds mymaster 500\n"
        with valkey_servers.start(sentinel=config) as sentinel:
            who = f'server="127.0.0.1:{sentinel.port}",master="mymaster"'
            status = f'valkey_sentinel_master_status{{{who},state="%s"}}'
            page = await first(source(sentinel.url), lambda page: page.get(status % "ok") == 1)
            assert page[f"valkey_sentinel_master_quorum{{{who}}}"] == 1
            assert page[f"valkey_sentinel_master_sentinels{{{who}}}"] == 1
            assert page[f"valkey_sentinel_master_replicas{{{who}}}"] == 0
            assert not any("slowlog" in name for name in page)

            master.process.kill()
            await first(source(sentinel.url), lambda page: page.get(status % "odown") == 1)


async def test_an_account_without_cluster_info_loses_only_cluster_metrics() -> None:
    with valkey_servers.start(args=["--cluster-enabled", "yes"]) as server, redis.Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">poor", "+info", "+client", "+slowlog")
        lookup = f'fleet_exporter_lookup_up{{source="valkey",server="127.0.0.1:{server.port}",lookup="cluster"}}'
        page = await first(source(server.url, username="poor", password="poor"), lambda page: lookup in page)

    assert page[lookup] == 0
    assert any(name.startswith("valkey_memory_used_bytes") for name in page)
    assert not any(name.startswith("valkey_cluster_") for name in page)


async def test_the_documented_words_permit_cluster_and_sentinel() -> None:
    """Only a Sentinel knows `+sentinel|masters`."""
    modes_and_words = {"cluster": ("--cluster-enabled", "yes"), "sentinel": ()}
    for lookup, args in modes_and_words.items():
        sentinel = "" if lookup == "sentinel" else None
        with valkey_servers.start(args=args, sentinel=sentinel) as server, redis.Redis(port=server.port) as client:
            for line in [*lines("valkey-info"), *lines(f"valkey-{lookup}")]:
                words = [word for word in shlex.split(line) if sentinel is None or not word.startswith(LOGS)]
                client.execute_command(*words)
            name = f'fleet_exporter_lookup_up{{source="valkey",server="127.0.0.1:{server.port}",lookup="{lookup}"}}'
            reader = source(server.url, username="fleet-exporter", password="change-me")
            page = await first(reader, lambda page: name in page)  # noqa: B023 - awaited here
            assert page[name] == 1, lookup
            assert [entry for entry in client.execute_command("ACL", "LOG") if lookup in str(entry)] == []


async def test_percentiles_of_latencies_by_command(valkey_server: RunningValkey) -> None:
    with redis.Redis(port=valkey_server.port) as client:
        client.get("absent")
        truth = client.info("latencystats")["latency_percentiles_usec_get"]
    page = await collected(source(valkey_server.url))
    who = f'server="127.0.0.1:{valkey_server.port}",command="get"'

    found = {name: page[f'valkey_command_latency_seconds{{{who},percentile="{name}"}}'] for name in ("p50", "p99", "p99.9")}
    assert found == pytest.approx({name: value / 1e6 for name, value in truth.items()})


async def test_groups_of_a_configured_stream(valkey_server: RunningValkey) -> None:
    with redis.Redis(port=valkey_server.port) as client:
        for number in range(5):
            client.xadd("work", {"n": number})
        client.xgroup_create("work", "agents", id="0")
        client.xreadgroup("agents", "a1", {"work": ">"}, count=2)
        page = await collected(source(valkey_server.url, collection_keys=["work"]))
        client.delete("work")
    who = f'server="127.0.0.1:{valkey_server.port}",key="work",group="agents"'

    found = {name: page[f"valkey_stream_group_{name}{{{who}}}"] for name in ("lag", "pending", "consumers")}
    assert found == {"lag": 3, "pending": 2, "consumers": 1}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private authority, and a server's and a client's certificate that it signed."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=ca",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "names", "-out", f"{name}.crt",
        )  # fmt: skip
    return folder


async def test_tls_with_a_private_authority_and_a_client_certificate(authority: Path) -> None:
    port = free_port(None)
    files = ("--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt")
    tls = [word if word.startswith("--") else str(authority / word) for word in files]
    with required():
        valkey_servers.prepare(engine="redis")  # the packaged ValKey is built without TLS
    with valkey_servers.start(engine="redis", args=["--tls-port", str(port), *tls, "--tls-auth-clients", "yes"]):
        url = f"rediss://127.0.0.1:{port}"
        client = {"cert_file": authority / "client.crt", "key_file": authority / "client.key"}
        page = await collected(source(url, ca_file=authority / "ca.crt", **client))
        refused = []
        for files_given in ({}, client, {"ca_file": authority / "ca.crt"}, {"ca_file": authority / "absent"}):
            with pytest.raises(SourceError) as caught:
                await collected(source(url, **files_given))
            refused.append(caught.value.reason)

    assert any(name.startswith("valkey_memory_used_bytes") for name in page)
    assert refused == [Reason.UNREACHABLE, Reason.UNREACHABLE, Reason.UNREACHABLE, Reason.CONFIG]


async def test_a_server_in_protected_mode_is_unauthorized() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        address = probe.getsockname()[0]
    args = ["--bind", f"127.0.0.1 {address}", "--protected-mode", "yes"]
    with valkey_servers.start(args=args) as server, pytest.raises(SourceError) as caught:
        await collected(source(f"redis://{address}:{server.port}"))

    assert caught.value.reason is Reason.UNAUTHORIZED
    assert str(caught.value).startswith(f"ValKey at {address}:{server.port}: DENIED ")
    assert len(str(caught.value)) < 300


REPLIES = st.recursive(
    st.none() | st.integers() | st.binary(max_size=20) | st.text(max_size=20), lambda inner: st.lists(inner, max_size=6)
)


@given(reply=REPLIES)
def test_any_reply_is_read_without_an_error(reply: object) -> None:
    masters = modes.master_fields(reply)

    assert len(masters) == (sum(isinstance(row, list) for row in reply) if isinstance(reply, list) else 0)
    assert len(series(modes.master_samples(masters, "s"))) >= bool(masters)


@given(quorum=st.integers(0, 9) | st.text(alphabet="abc?", min_size=1), down=st.booleans(), replicas=st.integers(0, 9))
def test_a_master_has_the_values_of_its_fields(quorum: int | str, down: bool, replicas: int) -> None:
    flags = "master,s_down" if down else "master"
    row = [b"name", b"m", b"flags", flags.encode(), b"quorum", str(quorum).encode(), b"num-slaves", str(replicas).encode()]
    page = series(modes.master_samples(modes.master_fields([row]), "s"))
    at = 'server="s",master="m"'

    assert page[f'valkey_sentinel_master_status{{{at},state="sdown"}}'] == down
    assert page[f'valkey_sentinel_master_status{{{at},state="ok"}}'] == (not down)
    assert page.get(f"valkey_sentinel_master_quorum{{{at}}}") == (quorum if isinstance(quorum, int) else None)
    assert page[f"valkey_sentinel_master_replicas{{{at}}}"] == replicas
