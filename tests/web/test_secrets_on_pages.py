"""An exporter at level debug with working, refusing and invalid backends: no page or log line has a secret."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx

from servers import nats as nats_servers
from servers import valkey as valkey_servers
from tests.support.pages import listener

SECRET = "Xq7Sa%2F%23%40Zw9Te"
PARTS = ("Xq7Sa", "Zw9Te")
PAGES = (
    "/",
    "/metrics",
    "/api/sources",
    "/api/cache/keys",
    "/api/graph/nodes",
    "/docs",
    "/-/ready",
    f"/api/{SECRET}?token={SECRET}",
)


@contextmanager
def logging_to(file: Path, variables: Mapping[str, str], *flags: str) -> Iterator[str]:
    """An exporter whose whole log is in a file; gives its URL."""
    command = [sys.executable, "-m", "exporter", "--web.listen-address=127.0.0.1:0", "--log.level=debug", *flags]
    with file.open("w") as log:
        process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **variables}, stderr=log)
        try:
            while (found := re.search(r"address=(http\S+)", file.read_text())) is None:
                assert process.poll() is None, file.read_text()
            yield found[1]
        finally:
            process.terminate()
            process.wait(20)


def greeting(words: bytes) -> AbstractContextManager[int]:
    """A server that sends these bytes on every connection."""

    def talk(connection: socket.socket) -> None:
        connection.settimeout(0.2)
        with suppress(TimeoutError):
            connection.recv(4096)
        connection.sendall(words)

    return listener(talk)


def assert_no_secret(url: str, file: Path) -> None:
    with httpx.Client(timeout=30) as client:
        for _ in range(2):
            for page in PAGES:
                text = client.get(f"{url}{page}").text
                if SECRET not in page:
                    assert not [part for part in PARTS if part in text], page
    log = file.read_text()
    assert "level=debug" in log
    # The path of the last page is the client's own; the exporter does not repeat its query.
    assert not [line for line in log.splitlines() if any(part in line for part in PARTS)]


def test_no_secret_with_working_backends(tmp_path: Path) -> None:
    password = "Xq7Sa/#@Zw9Te"
    file = tmp_path / "log"
    with (
        valkey_servers.start(password=password) as valkey,
        nats_servers.start(config=f'authorization {{ user: fleet, password: "{password}" }}') as nats,
        greeting(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as web,
    ):
        variables = {
            "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:{valkey.port}",
            "NATS_URL": f"nats://fleet:{SECRET}@127.0.0.1:{nats.port}",
        }
        flag = f"--services.http=a=http://user:{SECRET}@127.0.0.1:{web}/x?token={SECRET}"
        with logging_to(file, variables, flag) as url:
            page = httpx.get(f"{url}/metrics", timeout=30).text
            assert f'fleet_exporter_source_up{{source="valkey",server="127.0.0.1:{valkey.port}"}} 1' in page
            assert f'fleet_exporter_source_up{{source="jetstream",server="127.0.0.1:{nats.port}"}} 1' in page
            assert_no_secret(url, file)


def test_no_secret_with_failing_backends(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with valkey_servers.start(password="other") as valkey, greeting(b"\x00\xffnonsense\r\n" * 20) as port:
        variables = {
            "REDIS_URL": f"redis://user:{SECRET}@127.0.0.1:{valkey.port},redis://:{SECRET}@127.0.0.1:{port}",
            "NATS_URL": f"nats://{SECRET}@127.0.0.1:{port}",
            "NEO4J_URI": f"bolt://neo4j:{SECRET}@127.0.0.1:{port}",
            "VLLM_URL": f"http://user:{SECRET}@127.0.0.1:{port}",
            "LOKI_URL": f"http://user:{SECRET}@127.0.0.1:{port}",
        }
        flag = f"--services.http=a=http://user:{SECRET}@127.0.0.1:{port}/x?token={SECRET}"
        with logging_to(file, variables, flag) as url:
            assert_no_secret(url, file)
