"""Every flood at once: what a scrape with valid credentials and a health check still cost, and the exporter's memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import httpx

from benchmarks.figure import Figure, resident_bytes
from servers import nats, valkey
from servers.process import free_port

_SLOW_LORIS, _SLOW_READERS, _PASSWORDS, _SCRAPES = 5000, 1000, 50, 500
_SECONDS = 60.0
_SETTLE_SECONDS = 10.0
_SCRAPE_INTERVAL = 15.0
_ROUNDS = 3
_PAUSE = 0.05
_SCRAPES_MEASURED = 40
_USER, _PASSWORD = "prometheus", "right"
_ADDRESSES = itertools.cycle(f"127.0.{third}.{last}" for third in range(1, 5) for last in range(1, 51))
"""Sources of the floods, since the exporter limits the connections of one address."""


class _Held(asyncio.Protocol):
    """Sends a request, or a part of one, and keeps the connection until there is a response, or reads none."""

    transport: asyncio.Transport

    def __init__(self, words: bytes, *, reads: bool) -> None:
        self._words = words
        self._reads = reads

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self._reads:
            transport.pause_reading()
        transport.write(self._words)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - the protocol's
        self.transport.abort()


async def _opened(host: str, port: int, words: bytes, *, reads: bool) -> _Held | None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            try:
                connection.bind((next(_ADDRESSES), 0))
                await loop.sock_connect(connection, (host, port))
            except BaseException:  # cancelled by the timeout, too: the socket is not yet a transport that closes it
                connection.close()
                raise
            return (await loop.create_connection(lambda: _Held(words, reads=reads), sock=connection))[1]
    return None


async def _hold(host: str, port: int, number: int, words: bytes, drip: bytes = b"") -> None:
    """Keep this many connections open that have sent these bytes then send slowly or read nothing; reopen closed ones."""
    held: list[_Held] = []
    while True:
        held = [one for one in held if not one.transport.is_closing()]
        opened = await asyncio.gather(
            *[_opened(host, port, words, reads=bool(drip)) for _ in range(min(number - len(held), 50))]
        )
        held += [one for one in opened if one is not None]
        for one in held[:: max(len(held) // 50, 1)] if drip else ():
            one.transport.write(drip)
        await asyncio.sleep(_PAUSE)


async def _headers(host: str, port: int) -> None:
    """Headers without an end, as fast as they are accepted."""
    while True:
        if (one := await _opened(host, port, b"GET / HTTP/1.1\r\nX-A: " + b"a" * 100_000, reads=True)) is not None:
            await asyncio.sleep(0.01)
            one.transport.abort()


async def _requests(url: str, at_once: int, pause: float, password: Callable[[int], str]) -> None:
    """Scrapes with basic authentication, so many at once."""

    async def repeated(client: httpx.AsyncClient) -> None:
        for number in itertools.count():
            with contextlib.suppress(httpx.HTTPError):
                await client.get(f"{url}/metrics", auth=(_USER, password(number)))
            await asyncio.sleep(pause)

    transport = httpx.AsyncHTTPTransport(local_address="127.0.9.1", limits=httpx.Limits(max_connections=at_once))
    async with httpx.AsyncClient(transport=transport, timeout=30) as client:
        await asyncio.gather(*[repeated(client) for _ in range(at_once)])


async def _flood(url: str) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    head = b"Host: x\r\nAuthorization: Basic cHJvbWV0aGV1czpyaWdodA==\r\n"
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    floods: list[Coroutine[Any, Any, None]] = [
        _hold(host, port, _SLOW_LORIS, b"GET / HTTP/1.1\r\n", b"X-A: a\r\n"),
        _hold(host, port, _SLOW_READERS // 2, b"GET /api/events/stream HTTP/1.1\r\n" + head + b"\r\n"),
        _hold(
            host,
            port,
            _SLOW_READERS // 2,
            b"GET /ws HTTP/1.1\r\n" + head + upgrade + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ),
        _headers(host, port),
        _requests(url, _PASSWORDS, 0.0, lambda number: f"wrong-{number}"),
        _requests(url, _SCRAPES, _SCRAPE_INTERVAL, lambda _: _PASSWORD),
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(*floods)


async def _median(client: httpx.AsyncClient, address: str) -> float:
    times = []
    for _ in range(_SCRAPES_MEASURED):
        began = time.perf_counter()
        try:
            response = await client.get(address)
        except httpx.TransportError:  # an idle connection was closed to make room; Prometheus also tries again
            response = await client.get(address)
        response.raise_for_status()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)
    return statistics.median(times)


@contextlib.asynccontextmanager
async def _exporter() -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    with tempfile.TemporaryDirectory() as folder, valkey.start() as store, nats.start() as bus:
        file = Path(folder) / "web.yml"
        file.write_text(f"basic_auth_users:\n  {_USER}: {bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(12)).decode()}\n")
        port = free_port()
        variables = {"PATH": "/usr/bin:/bin", "REDIS_URL": store.url, "NATS_URL": bus.url}
        flags = [f"--web.listen-address=127.0.0.1:{port}", "--web.allowed-hosts=127.0.0.1,x", f"--web.config.file={file}"]
        command = [sys.executable, "-m", "exporter", "--log.level=error", *flags]
        process = subprocess.Popen(command, env=variables)  # noqa: ASYNC220 - takes a millisecond
        try:
            async with httpx.AsyncClient(auth=(_USER, _PASSWORD)) as client:
                while True:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(f"http://127.0.0.1:{port}/-/ready")).is_success:
                            break
                    await asyncio.sleep(0.1)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class _Round:
    """Seconds and bytes of one exporter, at first quiet and then in the floods."""

    quiet: float
    flooded: float
    healthy: float
    memory: int
    most: int
    ended: float


async def _round() -> _Round:
    async with _exporter() as (url, process), httpx.AsyncClient(auth=(_USER, _PASSWORD), timeout=60) as client:
        page, health = f"{url}/metrics", f"{url}/-/healthy"
        quiet, memory = await _median(client, page), resident_bytes(process.pid)
        flood = subprocess.Popen([sys.executable, "-m", "benchmarks.floods", url])  # noqa: ASYNC220 - takes a millisecond
        try:
            await asyncio.sleep(_SETTLE_SECONDS)
            flooded, healthy = await _median(client, page), await _median(client, health)
            most = resident_bytes(process.pid)
            began = time.perf_counter()
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
            return _Round(quiet, flooded, healthy, memory, most, time.perf_counter() - began)
        finally:
            flood.kill()
            flood.wait()


def _typical(values: Iterable[float]) -> float:
    return statistics.median(values)


def figures() -> list[Figure]:
    rounds = [asyncio.run(_round()) for _ in range(_ROUNDS)]
    slower = _typical(one.flooded / one.quiet for one in rounds)
    larger = _typical(one.most / one.memory for one in rounds)
    healthy, ended = _typical(one.healthy for one in rounds), _typical(one.ended for one in rounds)
    quiet, flooded = _typical(one.quiet for one in rounds), _typical(one.flooded for one in rounds)
    memory, most = _typical(one.memory for one in rounds), _typical(one.most for one in rounds)
    what = "5,000 slow requests, 1,000 streams not read, 500 scrapes, endless headers and wrong passwords at once"
    return [
        Figure(
            f"scrape: {what}",
            f"{flooded * 1e3:.1f} ms, {slower:.1f} of quiet",
            "≤ 2 of quiet",
            slower <= 2,
            f"quiet: {quiet * 1e3:.1f} ms",
        ),
        Figure("/-/healthy in the same floods", f"{healthy * 1e3:.1f} ms", "≤ 100 ms", healthy <= 0.1),
        Figure(
            "memory in the same floods",
            f"{most / 2**20:.0f} MiB, {larger:.1f} of quiet",
            "≤ 2 of quiet",
            larger <= 2,
            f"quiet: {memory / 2**20:.0f} MiB",
        ),
        Figure("SIGTERM to exit in the same floods", f"{ended:.1f} s", "≤ 2 s", ended <= 2),
    ]


if __name__ == "__main__":
    asyncio.run(_flood(sys.argv[1]))
