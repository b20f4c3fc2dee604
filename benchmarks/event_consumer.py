"""The event consumer next to a bare subscriber: CPU per message for ordered reading, checking and parsing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import nats
import uvloop
from nats.aio.msg import Msg

from benchmarks import publisher
from benchmarks.figure import Figure
from demo.scenario.fleet import STREAMS
from exporter.clients.nats_server import NatsServer
from exporter.config.options import Address
from exporter.events.consumer import EventConsumer
from exporter.events.model import Message
from exporter.metrics import process
from exporter.sources.fleet import FleetEvents, FleetOptions
from servers import nats as servers

MESSAGES = 60_000
_REQUIRED_RATE = 1_000_000 / 60


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polled polling adds less load than a callback per message
        await asyncio.sleep(0.01)


async def _bare(url: str) -> float:
    """CPU seconds of a subscriber that only counts."""
    client = await nats.connect(url)
    seen = 0

    async def count(_: Msg) -> None:
        nonlocal seen
        seen += 1

    await client.subscribe(">", cb=count)
    await client.flush()
    return await _timed(url, lambda: seen, client.close)


async def _ordered(url: str) -> float:
    """The same for nats-py's ordered consumers, one per stream."""
    client = await nats.connect(url)
    seen = 0

    async def count(_: Msg) -> None:
        nonlocal seen
        seen += 1

    for stream in STREAMS:
        await client.jetstream().subscribe(">", stream=stream, ordered_consumer=True, cb=count)
    return await _timed(url, lambda: seen, client.close)


class _Counting:
    """A listener that counts messages from the event consumer."""

    def __init__(self) -> None:
        self.seen = 0
        self.live = asyncio.Event()

    def reset(self) -> None:
        pass

    def on_replay_complete(self) -> None:
        self.live.set()

    def message(self, message: Message, *, live: bool) -> None:  # noqa: ARG002 - the protocol's
        self.seen += 1

    def advisory(self, data: bytes) -> None:
        pass


async def _consumed(url: str) -> float:
    """The event consumer: all streams discovered, read in order, deliveries checked."""
    counting = _Counting()
    consumer = EventConsumer(NatsServer(url=(Address(url),)), timeout=5, lookback=1, streams=(), listener=counting)
    running = asyncio.create_task(consumer.run())
    await counting.live.wait()

    async def stop() -> None:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    return await _timed(url, lambda: counting.seen, stop)


async def _aggregated(url: str) -> float:
    """The complete pipeline: read, parsed, aggregated."""
    source = FleetEvents(FleetOptions(url=(Address(url),)))
    following = asyncio.create_task(source.run())
    await source.wait_synced()
    counts = source.fleet.counts

    async def stop() -> None:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    return await _timed(url, lambda: sum(counts.events.values()), stop)


async def _timed(url: str, seen: Callable[[], int], stop: Callable[[], Awaitable[None]]) -> float:
    """CPU seconds of this process for all messages, which determine its maximum rate."""
    began = time.process_time()
    publishing = await asyncio.to_thread(publisher.started, url, MESSAGES)
    await _until(lambda: seen() >= MESSAGES)
    taken = time.process_time() - began
    await asyncio.to_thread(publishing.wait)
    await stop()
    return taken


def figures() -> list[Figure]:
    process.tune_garbage_collection()  # as in the exporter
    ways = {"core": _bare, "streams": _ordered, "consumer": _consumed, "aggregated": _aggregated}
    times: dict[str, list[float]] = {way: [] for way in ways}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(3):
            for way, measure in ways.items():
                with servers.start() as server:
                    runner.run(publisher.prepare(server.url))
                    times[way].append(runner.run(measure(server.url)))
    rate = {way: MESSAGES / statistics.median(taken) for way, taken in times.items()}
    ratio = rate["consumer"] / rate["core"]
    return [
        Figure(
            "event consumer: messages per second of CPU, read in order and checked",
            f"{rate['consumer']:,.0f}, {ratio:.2f} of a bare subscriber",
            "≥ 0.5 of a bare subscriber",
            ratio >= 0.5,
            f"nats-py counting: {rate['core']:,.0f} core messages, {rate['streams']:,.0f} from ordered consumers",
        ),
        Figure(
            "events per second of CPU, read, parsed and aggregated",
            f"{rate['aggregated']:,.0f}",
            "1,000,000 in 60 s: ≥ 17,000",
            rate["aggregated"] >= _REQUIRED_RATE,
        ),
    ]
