"""SIGTERM and Ctrl-C: the exporter ends with code 0 whatever its clients, backends and threads are doing."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import httpx
import pytest
import websockets
from nats.aio.client import Client
from websockets.asyncio.client import ClientConnection

from servers import valkey
from servers.nats import Nats
from servers.process import wait_for
from tests.support.fault_proxy import Mode, fault_proxy
from tests.support.fleet_streams import fleet_on
from tests.support.pages import eventually
from tests.support.process import Exporter, exporter

MINUTES = 21
"""Cost of a bcrypt hash that takes minutes to check."""


def rest_of_log(running: Exporter) -> str:
    """What a process that has ended logged after its start."""
    assert running.process.stderr is not None
    return running.process.stderr.read()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """host:port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_clients_of_the_live_stream_do_not_delay_it(server: Nats, ending: signal.Signals) -> None:
    with exporter(variables={"NATS_URL": server.url}) as running:
        address = urlsplit(running.url)
        async with fleet_on(server.url) as fleet, httpx.AsyncClient(timeout=30) as client:
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            await client.get(f"{running.url}/metrics")
            socket_url = f"ws://{address.netloc}/ws"
            with socket.create_connection((str(address.hostname), address.port or 0)) as unread:
                unread.sendall(b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                async with (
                    client.stream("GET", f"{running.url}/api/events/stream") as stream,
                    websockets.connect(socket_url) as web_socket,
                ):
                    lines = stream.aiter_lines()
                    assert await anext(lines) == ": connected"

                    async def counted() -> bool:
                        return "fleet_exporter_stream_clients 3\n" in (await client.get(f"{running.url}/metrics")).text

                    await eventually(counted)
                    await _flooded(fleet.client)
                    running.process.send_signal(ending)
                    kinds = set()
                    with contextlib.suppress(httpx.RemoteProtocolError):  # a response that is behind is cut off
                        kinds = {line async for line in lines if line.startswith("event: ")}
                    code = await _close_code(web_socket)
                    assert running.process.wait(20) == 0

    assert kinds <= {"event: event"}  # not `dropped`
    assert code == 1012


async def _flooded(client: Client) -> None:
    body = json.dumps({"story_id": "US-1", "text": "x" * 1500}).encode()
    for _ in range(500):
        await client.publish("planning.flood", body)
    await client.flush()


async def _close_code(web_socket: ClientConnection) -> int | None:
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await web_socket.recv()
    return web_socket.close_code


def test_backends_that_hang_do_not_delay_it(server: Nats) -> None:
    """NATS and ValKey hang during a collection; the others have never answered."""
    with (
        valkey.start() as cache,
        fault_proxy(server.url) as to_bus,
        fault_proxy(cache.url) as to_cache,
        silent() as dead,
    ):
        flags = [f"--vllm.url=http://{dead}", f"--services.grpc=a={dead}", f"--services.http=b=http://{dead}"]
        variables = {
            "NATS_URL": f"nats://{to_bus.address}",
            "REDIS_URL": f"redis://{to_cache.address}",
            "NEO4J_URI": f"bolt://{dead}",
            "LOKI_URL": f"http://{dead}",
        }
        with exporter(*flags, variables=variables) as running:

            def up() -> bool:
                page = httpx.get(f"{running.url}/metrics", timeout=30, trust_env=False).text
                sources = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up{")]
                return sum(line.endswith(" 1") for line in sources) >= 3

            wait_for(up, what="NATS and ValKey to be up")
            for proxy in (to_bus, to_cache):
                proxy.set(Mode.HANG)
            address = urlsplit(running.url)
            with socket.create_connection((str(address.hostname), address.port or 0)) as scraper:
                scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                httpx.get(f"{running.url}/-/healthy", trust_env=False)  # the scrape has begun
                assert running.stop() == 0
            for proxy in (to_bus, to_cache):
                proxy.set(Mode.PASS)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Exporter]:
    """An exporter with a thread that checks a password for minutes."""
    file = tmp_path / "web.yml"
    salt = bcrypt.gensalt(4).replace(b"$04$", f"${MINUTES}$".encode())
    file.write_text(f"basic_auth_users:\n  operator: {salt.decode()}{'a' * 31}\n")
    with exporter(f"--web.config.file={file}") as running, contextlib.ExitStack() as stack:
        address = urlsplit(running.url)
        waiting = [
            stack.enter_context(socket.create_connection((str(address.hostname), address.port or 0))) for _ in range(9)
        ]
        for number, one in enumerate(waiting):
            credentials = httpx.BasicAuth("operator", str(number))
            request = next(credentials.auth_flow(httpx.Request("GET", running.url)))
            header = request.headers["authorization"]
            one.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n".encode())
        # At most eight are checked or waiting, so one of them is refused.
        with httpx.Client(trust_env=False) as client:
            wait_for(
                lambda: client.get(running.url, auth=("operator", "next")).status_code == 429,
                what="every place of a password check to be taken",
            )
        yield running


def test_a_thread_that_does_not_end_is_named_in_the_log(busy: Exporter) -> None:
    assert busy.stop() == 0
    last = rest_of_log(busy).splitlines()[-1]
    assert 'msg="shutdown takes too long; exiting"' in last
    assert "running=password_0" in last


def test_a_second_signal_ends_it_at_once(busy: Exporter) -> None:
    busy.process.send_signal(signal.SIGTERM)
    busy.process.send_signal(signal.SIGINT)  # another one, because two of the same may be delivered as one
    assert busy.process.wait(20) == 0
    assert 'msg="second signal; exiting immediately"' in rest_of_log(busy)
