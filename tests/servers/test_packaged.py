"""nats-server, ValKey, Redis and Prometheus: each answers over its own protocol and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from servers import cache, debian, nats, neo4j, prometheus, valkey
from servers.cache import ServerMissing
from servers.process import ServerFailed
from tests.support.servers import required

pytestmark = pytest.mark.usefixtures("nothing_left")

ONCE = Retry(NoBackoff(), 0)
ENGINES: list[valkey.Engine] = ["valkey", "redis"]
PROMETHEUS = "global: {scrape_interval: 7s}\n"


def nats_request(port: int, subject: str, payload: str = "", connect: str = "{}") -> dict[str, object] | str:
    """The answer to one request, or the server's complaint."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rwb") as stream:
        assert stream.readline().startswith(b"INFO ")
        asked = f"CONNECT {connect}\r\nSUB inbox 1\r\nPUB {subject} inbox {len(payload)}\r\n{payload}\r\n"
        stream.write(asked.encode())
        stream.flush()
        while line := stream.readline().decode():
            if line.startswith("-ERR"):
                return line.strip()
            if line.startswith("MSG"):
                return dict(json.loads(stream.read(int(line.split()[-1]))))
    raise AssertionError("the server closed the connection without an answer")


def test_nats_serves_jetstream() -> None:
    with required():
        nats.prepare()
    with nats.start() as server:
        info = nats_request(server.port, "$JS.API.INFO")

    assert isinstance(info, dict)
    assert info["streams"] == 0
    assert not server.process.alive


def test_nats_keeps_its_port_and_its_streams_over_a_restart(tmp_path: Path) -> None:
    with required():
        nats.prepare()
    stream = json.dumps({"name": "EVENTS", "subjects": ["events.>"]})
    with nats.start(store=tmp_path / "store") as server:
        nats_request(server.port, "$JS.API.STREAM.CREATE.EVENTS", stream)
        server.process.restart()
        info = nats_request(server.port, "$JS.API.INFO")

    assert isinstance(info, dict)
    assert info["streams"] == 1
    assert server.store.is_dir()


def test_nats_accepts_additional_configuration() -> None:
    with required():
        nats.prepare()
    with nats.start(config='authorization { user: "fleet", password: "secret" }') as server:
        refused = nats_request(server.port, "$JS.API.INFO")
        taken = nats_request(server.port, "$JS.API.INFO", connect='{"user": "fleet", "pass": "secret"}')

    assert refused == "-ERR 'Authorization Violation'"
    assert isinstance(taken, dict)


def test_nats_reports_why_it_cannot_start() -> None:
    with required():
        nats.prepare()
    with (
        pytest.raises(ServerFailed, match=r"^nats-server ended with code 1: .*unknown_word"),
        nats.start(config="unknown_word: 1"),
    ):
        pass


@pytest.mark.parametrize("engine", ENGINES)
def test_valkey_answers(engine: valkey.Engine) -> None:
    with required():
        valkey.prepare(engine=engine)
    with valkey.start(password="secret", args=["--maxmemory", "64mb"], engine=engine) as server:
        with redis.Redis(port=server.port, password="secret") as client:
            about = client.info()
        with redis.Redis(port=server.port, retry=ONCE) as client, pytest.raises(redis.AuthenticationError):
            client.ping()

    assert isinstance(about, dict)
    assert about["maxmemory"] == 64 * 1024 * 1024
    assert about["process_id"] == server.pid
    assert ("valkey_version" in about) == (engine == "valkey")


def test_a_paused_valkey_hangs_and_resumes() -> None:
    with required():
        valkey.prepare()
    with valkey.start() as server, redis.Redis(port=server.port, socket_timeout=0.1, retry=ONCE) as client:
        client.ping()
        server.process.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.process.resume()
        with redis.Redis(port=server.port) as client:
            assert client.ping()


@pytest.mark.parametrize("engine", ENGINES)
def test_valkey_reports_why_it_cannot_start(engine: valkey.Engine) -> None:
    with required():
        valkey.prepare(engine=engine)
    with (
        pytest.raises(ServerFailed, match=rf"(?s)^{engine}-server ended with code 1: .*nonsense"),
        valkey.start(args=["--nonsense", "1"], engine=engine),
    ):
        pass


def test_prometheus_answers_with_its_configuration() -> None:
    with required():
        prometheus.prepare()
    with prometheus.start(config=PROMETHEUS) as server:
        shown = httpx.get(f"{server.url}/api/v1/status/config").json()
        query = httpx.get(f"{server.url}/api/v1/query", params={"query": "1 + 1"}).json()

    assert "scrape_interval: 7s" in shown["data"]["yaml"]
    assert query["data"]["result"][1] == "2"


def test_prometheus_reports_why_it_cannot_start() -> None:
    with required():
        prometheus.prepare()
    with (
        pytest.raises(ServerFailed, match=r"(?s)^prometheus ended with code \d: .*nonsense"),
        prometheus.start(config="nonsense: 1"),
    ):
        pass


def test_promtool_checks_a_configuration(tmp_path: Path) -> None:
    with required():
        tool = prometheus.promtool()
    file = tmp_path / "prometheus.yml"
    file.write_text(PROMETHEUS)

    assert subprocess.run([tool, "check", "config", file], capture_output=True, check=False).returncode == 0


MAVEN = """#!/bin/sh
printf '[INFO] Scanning for projects...\\n'
printf '[\\033[1;31mERROR\\033[m] Could not transfer artifact org.neo4j:neo4j: Network is unreachable\\n'
printf '[\\033[1;31mERROR\\033[m] \\n[\\033[1;31mERROR\\033[m] Re-run Maven using the -X switch.\\n'
exit 1
"""
JAVA = "#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n"


def test_a_failed_download_of_neo4j_is_reported_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in the place of Maven and Java, so that the network is away."""
    for name, script in (("mvn", MAVEN), ("java", JAVA), ("javac", JAVA)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")

    with pytest.raises(ServerMissing) as missing:
        neo4j.prepare()

    assert str(missing.value) == (
        "Maven could not prepare Neo4j (Could not transfer artifact org.neo4j:neo4j: Network is unreachable): "
        "check that Maven Central is reachable"
    )


def test_a_port_in_use_is_reported() -> None:
    with required():
        prometheus.prepare()
    with (
        prometheus.start(config=PROMETHEUS) as first,
        pytest.raises(ServerFailed, match=rf"^port {first.port} of 127\.0\.0\.1 is taken: "),
        prometheus.start(config=PROMETHEUS, port=first.port),
    ):
        pass


def test_an_unavailable_server_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(
        ServerMissing, match=r"^redis-server is not on the PATH and this is no Debian system: install it by hand$"
    ):
        debian.unpacked("redis-server")
