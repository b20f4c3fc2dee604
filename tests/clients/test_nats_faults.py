"""NATS behind a faulty network: each fault has its reason, buffers are bounded, and recovery is immediate."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from exporter.clients.jetstream import Account
from exporter.clients.nats import Connection
from exporter.clients.nats_server import NatsServer
from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from servers.nats import Nats
from tests.support.fault_proxy import REASONS, Mode, fault_proxy
from tests.support.pages import listener


def connection(port: int, timeout: float = 2.0) -> Connection:
    return Connection(NatsServer(url=(Address(f"nats://127.0.0.1:{port}"),)), timeout=timeout)


@pytest.mark.parametrize("mode", REASONS)
async def test_a_fault_during_the_handshake_has_its_reason(nats_server: Nats, mode: Mode) -> None:
    with fault_proxy(nats_server.url) as proxy:
        opened = connection(proxy.port, timeout=1)
        proxy.set(mode)
        with pytest.raises(SourceError) as raised:
            await opened.open()
        await opened.close()
        assert raised.value.reason is REASONS[mode]
        proxy.set(Mode.PASS)
        await opened.open()
        assert await opened.ask("INFO", Account)
        await opened.close()


@pytest.mark.parametrize("mode", REASONS)
async def test_a_fault_of_an_open_connection_has_its_reason(nats_server: Nats, mode: Mode) -> None:
    with fault_proxy(nats_server.url) as proxy:
        opened = connection(proxy.port, timeout=1)
        await opened.open()
        await opened.ask("INFO", Account)
        proxy.set(mode)
        with pytest.raises(SourceError) as raised:
            await opened.ask("INFO", Account)
        await opened.close()
        assert raised.value.reason is REASONS[mode]


INFO = json.dumps({"server_id": "x", "version": "2.12.0", "max_payload": 2**40, "headers": True, "proto": 1}).encode()


def server(reply: bytes, times: int) -> Callable[[socket.socket], None]:
    """Sends INFO like NATS, and these bytes instead of every reply."""

    def talk(one: socket.socket) -> None:
        one.sendall(b"INFO " + INFO + b"\r\n")
        received = b""
        while b"PING" not in received:  # after CONNECT, in the same segment or the next one
            received += one.recv(65536)
        one.sendall(b"PONG\r\n")
        one.recv(65536)
        for _ in range(times):
            one.sendall(reply)
        while one.recv(65536):
            pass

    return talk


@pytest.mark.parametrize(
    ("reply", "times"),
    [
        (b"MSG _INBOX.x.y 1 99999999999\r\n" + b"x" * 65536, 1),
        (b"x" * 65536, 20),
        (b"INFO {\r\n", 1),
        (b"INFO " + b"[" * 100_000 + b"\r\n", 1),
    ],
    ids=["size", "line", "not JSON", "nested"],
)
async def test_unbounded_and_invalid_replies_are_malformed(reply: bytes, times: int) -> None:
    with listener(server(reply, times)) as port:
        opened = connection(port, timeout=10)
        await opened.open()
        with pytest.raises(SourceError) as raised:
            await opened.ask("INFO", Account)
        await opened.close()
        assert raised.value.reason is Reason.MALFORMED
        if reply.startswith(b"MSG"):
            assert "at most 67108864 bytes, got one of 99999999999" in str(raised.value)
