"""Any number of addresses, users, databases and paths of one host: no series twice, and each is of one known server."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import nats
import pytest
import valkey
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from nats.js.api import ConsumerConfig, StreamConfig

from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import Sample
from exporter.scrape import Scraper
from exporter.settings import SettingsError, load
from servers import nats as nats_servers
from servers import vllm as vllm_servers
from servers.kubernetes import Kubernetes
from servers.nats import Nats
from servers.neo4j import RunningNeo4j
from servers.valkey import RunningValkey
from tests.support.pages import eventually
from tests.support.servers import required

USER = "second"
PATIENCE = {f"{kind}.timeout": "60" for kind in ("valkey", "vllm", "jetstream", "neo4j", "services")}
"""A JVM that has just started compiles its first plans slowly."""
KEYS = ("q:a:1", "q:b:1", "absent")

_UP = re.compile(r'fleet_exporter_source_up\{source="(\w+)",server="([^"]*)"\} [01]')
_SERVER = re.compile(r'(?!fleet_exporter_)(\w+?)_\w+\{(?:.*,)?server="([^"]*)"')
_ASKS = {"valkey": "valkey", "vllm": "vllm", "nats": "jetstream", "neo4j": "neo4j"}
"""Source of the metrics with each prefix."""


def lists(*values: str, unique: bool = False) -> st.SearchStrategy[str]:
    """Comma-separated values in any order, some of them repeated unless `unique`."""
    return st.lists(st.sampled_from(values), max_size=5, unique=unique).map(",".join)


def addresses(template: str, **parts: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Addresses of distinct databases or paths, each with any of the users; one more may repeat one of them."""

    def distinct(where: list[str], users: list[str]) -> str:
        return ",".join(template.format(user=user, where=place) for place, user in zip(where, users, strict=False))

    where = st.lists(st.sampled_from(parts["where"]), max_size=4, unique=True)
    repeated = st.lists(st.sampled_from((*parts["where"], *parts["again"])), max_size=4)
    users = st.lists(st.sampled_from(parts["users"]), min_size=4, max_size=4)
    return st.builds(distinct, where | where | where | repeated, users)


class Backends:
    """Real servers, each with something to show under every address."""

    def __init__(self, keys: RunningValkey, streams: Nats, models: str, graph: RunningNeo4j) -> None:
        for database in (0, 1, 15):
            with valkey.Valkey(port=keys.port, db=database) as client:
                client.set(KEYS[0], "x" * (database + 1))
                client.rpush(KEYS[1], "1")
                client.acl_setuser(USER, enabled=True, nopass=True, keys=["*"], categories=["+@all"])
        self.environment = {"NEO4J_PASSWORD": graph.password}
        self.choices: dict[str, st.SearchStrategy[str]] = {
            "valkey.url": addresses(
                f"redis://{{user}}127.0.0.1:{keys.port}{{where}}",
                where=("", "/1", "/15", "?db=2", "/3?db=4"),
                again=("/0", "/", "/01", "/2", "?db=1&db=5", "/4"),
                users=("", f"{USER}:x@"),
            ),
            "valkey.collection_keys": lists(*KEYS),
            "valkey.key_groups": st.sampled_from(["true", "false"]),
            "vllm.url": addresses(
                f"{models.replace('//', '//{user}')}{{where}}",
                where=("", "/a", "/a/", "/a/metrics", "/b/metrics?key=1"),
                again=("/", "/metrics", "/a?key=1", "/b/metrics"),
                users=("", "u:p@"),
            ),
            "jetstream.url": st.sampled_from(["", streams.url, f"{streams.url},{streams.url}"]),
            "jetstream.expected": lists("S", "S/c", "ABSENT", "S/absent"),
            "services.http": lists(f"first={models}", f"second={models}/a", f"third={models}/a", unique=True),
            "neo4j.uri": st.sampled_from(["", graph.url, graph.url.replace("//", f"//{graph.user}:{graph.password}@")]),
            "neo4j.databases": lists("neo4j", "archive", "live").map(lambda text: text or "neo4j"),
        }


@pytest.fixture(scope="module")
def streams() -> Iterator[Nats]:
    """A stream S with a consumer c."""

    async def fill(url: str) -> None:
        client = await nats.connect(url)
        js = client.jetstream()
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        await js.add_consumer("S", ConsumerConfig(durable_name="c"))
        await client.close()

    with required():
        nats_servers.prepare()
    with nats_servers.start() as server:
        asyncio.run(fill(server.url))
        yield server


@pytest.fixture(scope="module")
def backends(valkey_server: RunningValkey, streams: Nats, neo4j_server: RunningNeo4j) -> Iterator[Backends]:
    with vllm_servers.start() as models:
        models.generate(100, 10, 1.0)
        models.load(5)
        yield Backends(valkey_server, streams, models.url, neo4j_server)


def lines_of(samples: list[Sample]) -> list[str]:
    page = rendered(grouped(samples), ExpositionFormat.TEXT).decode().splitlines()
    return [line for line in page if not line.startswith("#")]


def assert_identity(page: list[str]) -> None:
    """No series twice, none dropped as a duplicate, and each server that a series names is a target of its source."""
    counts = Counter(line.rpartition(" ")[0] for line in page)
    assert [name for name, count in counts.items() if count > 1] == []
    assert [
        line for line in page if line.startswith("fleet_exporter_source_dropped_series") and not line.endswith(" 0")
    ] == []
    targets = {found.groups() for line in page if (found := _UP.match(line))}
    named = {(_ASKS[found[1]], found[2]) for line in page if (found := _SERVER.match(line)) and found[1] in _ASKS}
    assert named <= targets


def page_of(configuration: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    async def main() -> list[str]:
        scraper = Scraper(load(configuration, environment).sources)
        try:
            return lines_of(await scraper.read(60.0))
        finally:
            await scraper.close()

    return asyncio.run(main())


# An example takes a second: shrinking would take minutes.
@settings(max_examples=30, phases=(Phase.reuse, Phase.generate))
@given(data=st.data())
def test_no_configuration_has_a_series_twice_or_of_an_unknown_server(backends: Backends, data: st.DataObject) -> None:
    configuration = {name: data.draw(values, label=name) for name, values in backends.choices.items()}
    configuration |= PATIENCE | {"fleet.follow_events": "false"}
    try:
        page = page_of(configuration, backends.environment)
    except SettingsError:
        event("refused")
        return

    event(f"{len({found.groups() for line in page if (found := _UP.match(line))})} targets")
    assert_identity(page)
    if configuration["neo4j.uri"]:
        assert any(line.startswith("neo4j_info{") for line in page) or "neo4j" not in configuration["neo4j.databases"]


async def test_namespaces_streams_and_workloads_that_are_listed_twice_count_once(
    streams: Nats, kubernetes_server: Kubernetes
) -> None:
    kubernetes_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "identity"}})
    body = {"metadata": {"name": "worker"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    kubernetes_server.request("POST", "/api/v1/namespaces/identity/pods", body)
    ray = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "job"}, "spec": {}}
    kubernetes_server.request("POST", "/apis/ray.io/v1/namespaces/identity/rayjobs", ray)
    configured = load(
        {
            "jetstream.url": streams.url,
            "fleet.streams": "S,S,ABSENT,ABSENT",
            "rayjob.kubeconfig": str(kubernetes_server.kubeconfig),
            "rayjob.namespaces": "identity,identity,empty",
            "workloads.kubeconfig": str(kubernetes_server.kubeconfig),
            "workloads.namespaces": "identity,identity",
            "workloads.expected": "identity/worker,identity/absent,identity/worker,identity/absent",
        },
        {},
    )
    scraper = Scraper(configured.sources)
    watching = asyncio.create_task(scraper.run())
    page: list[str] = []

    async def every_source_is_up() -> bool:
        nonlocal page
        page = lines_of(await scraper.read(5.0))
        ups = [line for line in page if _UP.match(line)]
        return len(ups) == len(configured.sources) and all(line.endswith(" 1") for line in ups)

    try:
        await eventually(every_source_is_up)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await scraper.close()

    assert_identity(page)
    expected = [line for line in page if line.startswith("fleet_expected_workload_status{") and line.endswith(" 1")]
    assert len(expected) == 2
    assert 'ray_jobs{namespace="identity",state="New"} 1' in page
