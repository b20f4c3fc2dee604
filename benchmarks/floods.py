"""Every flood at once: what a scrape with valid credentials and a health check still cost, and the exporter's memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import httpx

from benchmarks.figure import Figure, resident_bytes
from servers import nats, valkey
from servers.process import free_port

_SLOW_LORIS, _SLOW_READERS, _PASSWORDS, _SCRAPES = 5000, 1000, 50, 500
_SECONDS = 20.0
_SCRAPES_MEASURED = 40
_USER, _PASSWORD = "prometheus", "right"
_ADDRESSES = itertools.cycle(f"127.0.{third}.{last}" for third in range(1, 5) for last in range(1, 51))
"""Sources of the floods, since the exporter limits the connections of one address."""

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _opened(host: str, port: int) -> Connected | None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            return await asyncio.open_connection(host, port, local_addr=(next(_ADDRESSES), 0), limit=2**12)
    return None


async def _held(host: str, port: int, number: int, words: bytes, drip: bytes) -> None:
    """Keep so many connections open that have said this, and drip; closed ones are opened again."""
    held: list[asyncio.StreamWriter] = []
    while True:
        held = [writer for writer in held if not writer.is_closing()]
        for _ in range(min(number - len(held), 50)):
            if (connected := await _opened(host, port)) is not None:
                connected[1].write(words)
                held.append(connected[1])
        if drip and held:
            for writer in held[:: max(len(held) // 50, 1)]:
                with contextlib.suppress(OSError):
                    writer.write(drip)
        await asyncio.sleep(0.05)


async def _headers(host: str, port: int) -> None:
    """Headers without an end, as fast as they are taken."""
    while True:
        if (connected := await _opened(host, port)) is not None:
            with contextlib.suppress(OSError):
                connected[1].write(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 100_000)
                await connected[1].drain()
            connected[1].transport.abort()
        await asyncio.sleep(0.01)


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
    stream = b"GET /api/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cHJvbWV0aGV1czpyaWdodA==\r\n\r\n"
    floods: list[Coroutine[Any, Any, None]] = [
        _held(host, port, _SLOW_LORIS, b"GET / HTTP/1.1\r\n", b"X-A: a\r\n"),
        _held(host, port, _SLOW_READERS, stream, b""),
        _headers(host, port),
        _requests(url, _PASSWORDS, 0.0, lambda number: f"wrong-{number}"),
        _requests(url, _SCRAPES, _SECONDS / 4, lambda _: _PASSWORD),
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(*floods)


async def _median(client: httpx.AsyncClient, address: str) -> float:
    times = []
    for _ in range(_SCRAPES_MEASURED):
        began = time.perf_counter()
        reply = await client.get(address)
        reply.raise_for_status()
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


async def _measured() -> list[Figure]:
    async with _exporter() as (url, process), httpx.AsyncClient(auth=(_USER, _PASSWORD), timeout=60) as client:
        page, health = f"{url}/metrics", f"{url}/-/healthy"
        quiet, memory = await _median(client, page), resident_bytes(process.pid)
        flood = subprocess.Popen([sys.executable, "-m", "benchmarks.floods", url])  # noqa: ASYNC220
        try:
            await asyncio.sleep(_SECONDS / 4)
            flooded, healthy = await _median(client, page), await _median(client, health)
            most = resident_bytes(process.pid)
            began = time.perf_counter()
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
            ended = time.perf_counter() - began
        finally:
            flood.kill()
            flood.wait()
    what = "5,000 slow requests, 1,000 streams not read, 500 scrapes, endless headers and wrong passwords at once"
    return [
        Figure(
            f"scrape: {what}",
            f"{flooded * 1e3:.1f} ms",
            "≤ 2 of quiet",
            flooded <= 2 * quiet,
            f"quiet: {quiet * 1e3:.1f} ms",
        ),
        Figure("/-/healthy in the same floods", f"{healthy * 1e3:.1f} ms", "≤ 100 ms", healthy <= 0.1),
        Figure(
            "memory in the same floods",
            f"{most / 2**20:.0f} MiB",
            "≤ 2 of quiet",
            most <= 2 * memory,
            f"{memory / 2**20:.0f} MiB",
        ),
        Figure("SIGTERM in the same floods", f"{ended:.1f} s", "≤ 2 s", ended <= 2),
    ]


def figures() -> list[Figure]:
    return asyncio.run(_measured())


if __name__ == "__main__":
    asyncio.run(_flood(sys.argv[1]))
