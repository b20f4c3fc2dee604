"""Long-lived and aborted connections hold no slot, write no log lines and do not delay the exit."""

from __future__ import annotations

import socket
import struct
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from servers.nats import Nats
from tests.support.process import Exporter, exporter

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EVENTS = b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connected(running: Exporter) -> socket.socket:
    address = urlsplit(running.url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), timeout=60)


def rest_of_the_log(process: Exporter) -> str:
    assert process.stop() == 0
    assert process.process.stderr is not None
    return process.process.stderr.read()


@pytest.mark.parametrize("request_", [EVENTS, UPGRADE], ids=["SSE", "WebSocket"])
def test_sigterm_closes_live_streams(nats_server: Nats, request_: bytes) -> None:
    with exporter(variables={"NATS_URL": nats_server.url}) as process:
        clients = [connected(process) for _ in range(5)]
        for client in clients:
            client.sendall(request_)
            assert client.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")
        log = rest_of_the_log(process)
        for client in clients:
            client.close()

    assert "Cancel" not in log  # uvicorn's line when responses are still in progress after its grace period


def test_a_closed_websocket_frees_its_slot_and_writes_no_log_line() -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
        "from exporter.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    with exporter(command=[sys.executable, "-c", program, "--web.listen-address=127.0.0.1:0"]) as process:
        for number in range(300):
            with connected(process) as client:
                client.sendall(UPGRADE)
                if number % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
                else:
                    assert client.recv(12) == b"HTTP/1.1 404"
        assert httpx.get(f"{process.url}/metrics", timeout=60).status_code == 200
        log = rest_of_the_log(process)

    assert "handshake" not in log
