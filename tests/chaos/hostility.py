"""Hostile clients and events, one kind at a time, chosen by a seeded generator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable

import nats
import nats.errors
from nats.js.api import StreamConfig

_HELD = 100
"""Connections held at once; the oldest is closed for a new one."""


class HostileClients:
    """Opens abusive connections; `close` ends them after the last `act`."""

    def __init__(self, host: str, port: int, chosen: random.Random) -> None:
        self._address = (host, port)
        self._random = chosen
        self._held: list[asyncio.StreamWriter] = []

    async def act(self) -> str:
        """Do one thing and return its name."""
        name = self._random.choice(sorted(_ACTS))
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(*self._address)
            self._held.append(writer)
            writer.write(_ACTS[name](self._random))
            if name != "reads nothing":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await reader.read(1)
        while len(self._held) > _HELD:
            oldest = self._held.pop(0)  # kept until it is aborted: a writer without a reference counts as unclosed
            oldest.transport.abort()
        return name

    async def close(self) -> None:
        for writer in self._held:
            writer.transport.abort()  # closing would wait until the exporter has read what it refuses to read
        self._held.clear()
        await asyncio.sleep(0)  # transports close their sockets in the next iteration


_ACTS: dict[str, Callable[[random.Random], bytes]] = {
    "half a request": lambda _: b"GET /metrics HTTP/1.1\r\nHost: local",
    "header without end": lambda _: b"GET / HTTP/1.1\r\nX-A: " + b"a" * 40_000,
    "garbage": lambda chosen: chosen.randbytes(500),
    "reads nothing": lambda _: b"GET /api/events/stream?recent=500 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "other host": lambda _: b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "long line": lambda _: b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n\r\n",
    "search": lambda _: b"GET /api/events?since=30d&story=none-such HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "short scrape": lambda _: (
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.6\r\n\r\n"
    ),
}


def hostile_event(chosen: random.Random) -> tuple[str, bytes]:
    """(subject, body) of a hostile event."""
    number = chosen.randrange(1_000_000)
    body: object = {"task_id": f"T{number}", "agent_id": f"a{number}", "role": f"R{number}", "num_agents": 3}
    kinds: list[Callable[[], bytes]] = [
        lambda: chosen.randbytes(200),
        lambda: b"",
        lambda: b"[" * 5000,
        lambda: json.dumps(body).encode(),
        lambda: json.dumps({**dict.fromkeys(("agent_id",), "x" * 5000), "duration_ms": float("nan")}).encode(),
        lambda: json.dumps({"agent_id": "skewed", "timestamp": 10 ** chosen.randrange(20), "role": "DEV"}).encode(),
        lambda: json.dumps({"proposal": {"content": "x" * chosen.randrange(300_000)}, "story_id": "a/b"}).encode(),
    ]
    subject = chosen.choice(["agent.response.completed", "planning.story.transitioned", f"agent.x{number}"])
    return subject, chosen.choice(kinds)()


async def publishing(url: str, chosen: random.Random, rate: float) -> None:
    """Publish hostile events until cancelled, `rate` per second, past the proxy."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()
        await jetstream.add_stream(StreamConfig(name="AGENTS", subjects=["agent.>", "planning.>"], max_bytes=200_000_000))
        while True:
            with contextlib.suppress(nats.errors.Error):
                await client.publish(*hostile_event(chosen))
            await asyncio.sleep(1 / rate)
    finally:
        await client.close()


async def harassing(clients: HostileClients, rate: float) -> None:
    """Run hostile clients until cancelled, `rate` per second."""
    act: Callable[[], Awaitable[str]] = clients.act
    while True:
        await act()
        await asyncio.sleep(1 / rate)
