"""Every network source with a bad server: consistent reasons, in time, without secrets."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from exporter.errors import Reason, SourceError
from exporter.settings import load
from exporter.source import Source
from tests.support.pages import collected, listener

ADDRESSES = {
    "jetstream": {"NATS_URL": "nats://user:hunter2@127.0.0.1:{port}"},
    "neo4j": {"NEO4J_URI": "bolt://127.0.0.1:{port}", "NEO4J_PASSWORD": "hunter2"},
    "valkey": {"REDIS_URL": "redis://:hunter2@127.0.0.1:{port}"},
    "vllm": {"VLLM_URL": "http://user:hunter2@127.0.0.1:{port}"},
}
GREETINGS = {
    "jetstream": b'INFO {"server_id":"x","vers',
    "neo4j": b"\x00\x00",
    "valkey": b"$100\r\nredis_ver",
    "vllm": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nvllm:num",
}
each_source = pytest.mark.parametrize("kind", sorted(ADDRESSES))


def source(kind: str, port: int, host: str = "127.0.0.1") -> Source:
    variables = {name: value.format(port=port).replace("127.0.0.1", host) for name, value in ADDRESSES[kind].items()}
    sources = load({f"{kind}.timeout": "2"}, variables).sources
    return next(source for source in sources if source.kind == kind)


async def failure(kind: str, port: int, host: str = "127.0.0.1") -> SourceError:
    with pytest.raises(SourceError) as caught:
        await collected(source(kind, port, host))
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not re.search(r"Errno|Error -?\d|Resolved|ssl:default|\('", str(caught.value)), caught.value
    return caught.value


@each_source
async def test_connection_refused(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = await failure(kind, port)

    assert error.reason is Reason.UNREACHABLE
    assert str(error).endswith(f" at 127.0.0.1:{port}: Connection refused")


@each_source
async def test_unknown_host(kind: str) -> None:
    error = await failure(kind, 1, "nohost.invalid")

    assert error.reason is Reason.UNREACHABLE
    assert str(error).endswith(" at nohost.invalid:1: the host name does not resolve")


@each_source
async def test_server_accepts_and_never_answers(kind: str) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with listener(silent) as port:
        assert (await failure(kind, port)).reason is Reason.TIMEOUT


@each_source
async def test_reply_cut_short(kind: str) -> None:
    with listener(_says(GREETINGS[kind])) as port:
        assert (await failure(kind, port)).reason in (Reason.MALFORMED, Reason.UNREACHABLE)


@each_source
async def test_server_of_another_protocol(kind: str) -> None:
    with listener(_says(b"220 mail.example ESMTP ready\r\n" * 3)) as port:
        assert (await failure(kind, port)).reason in (Reason.MALFORMED, Reason.UNREACHABLE)


@each_source
async def test_server_answers_with_noise(kind: str) -> None:
    noise = bytes(range(256)) * 64
    with listener(_says(noise)) as port:
        assert (await failure(kind, port)).reason in (Reason.MALFORMED, Reason.UNREACHABLE)


def _says(words: bytes) -> Callable[[socket.socket], None]:
    """A server that reads some bytes, sends a fixed reply and closes the connection."""

    def answer(connection: socket.socket) -> None:
        connection.settimeout(0.2)
        with suppress(TimeoutError):
            connection.recv(4096)
        connection.sendall(words)
        connection.shutdown(socket.SHUT_RDWR)

    return answer
