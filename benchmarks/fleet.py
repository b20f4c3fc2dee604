"""Following events: the tap beside a bare subscriber, how late an event is seen, a million events, a million forged."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
import nats
import uvloop
from nats.aio.msg import Msg

from benchmarks import publisher
from benchmarks.figure import Figure, resident_bytes
from demo.fleet import STREAMS
from demo.servers import loki, process
from demo.servers import nats as servers
from exporter import program
from exporter.event import Message, parsed
from exporter.exposition import Format, grouped, rendered
from exporter.fleet import FleetEvents
from exporter.fleet.samples import samples
from exporter.fleet.state import Fleet
from exporter.fleet.tap import Tap
from exporter.nats_connection import NatsServer
from exporter.source import Address
from tests.running import exporter

TAPPED = 60_000
RATE, SECONDS = 1000, 10
MILLION = 1_000_000
PROBES = 300


def _publisher(url: str, number: int, rate: float = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.publisher", url, str(number), str(rate)])


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - polled so that what is measured is not slowed by being watched
        await asyncio.sleep(0.01)


async def _bare(url: str) -> float:
    """Seconds of CPU for a subscriber that counts, and for nothing else."""
    client = await nats.connect(url)
    seen = 0

    async def count(_: Msg) -> None:
        nonlocal seen
        seen += 1

    await client.subscribe(">", cb=count)
    await client.flush()
    return await _timed(url, lambda: seen, client.close)


async def _ordered(url: str) -> float:
    """The same for nats-py's own ordered consumers, one for each stream, which is what the tap does with its own."""
    client = await nats.connect(url)
    seen = 0

    async def count(_: Msg) -> None:
        nonlocal seen
        seen += 1

    for stream in STREAMS:
        await client.jetstream().subscribe(">", stream=stream, ordered_consumer=True, cb=count)
    return await _timed(url, lambda: seen, client.close)


class _Counting:
    """A listener that counts what the tap reads."""

    def __init__(self) -> None:
        self.seen = 0
        self.live = asyncio.Event()

    def begins(self) -> None:
        pass

    def caught_up(self) -> None:
        self.live.set()

    def message(self, message: Message, *, live: bool) -> None:  # noqa: ARG002 - the protocol's
        self.seen += 1

    def advisory(self, data: bytes) -> None:
        pass


async def _tapped(url: str) -> float:
    """The tap: every stream discovered, read in order, deliveries checked."""
    counting = _Counting()
    tap = Tap(NatsServer(url=(Address(url),)), timeout=5, lookback=1, streams=(), listener=counting)
    running = asyncio.create_task(tap.run())
    await counting.live.wait()

    async def stop() -> None:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    return await _timed(url, lambda: counting.seen, stop)


async def _understood(url: str) -> float:
    """The whole of it: read, parsed, added up."""
    source = FleetEvents(url=(Address(url),))
    following = asyncio.create_task(source.follow())
    await source.settled()
    counts = source.fleet.counts

    async def stop() -> None:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    return await _timed(url, lambda: sum(counts.events.values()), stop)


async def _timed(url: str, seen: Callable[[], int], stop: Callable[[], Awaitable[None]]) -> float:
    """Seconds of CPU that this process takes for all messages: what it takes decides how many it can follow."""
    began = time.process_time()
    publishing = await asyncio.to_thread(_publisher, url, TAPPED)
    await _until(lambda: seen() >= TAPPED)
    taken = time.process_time() - began
    await asyncio.to_thread(publishing.wait)
    await stop()
    return taken


def _beside_a_bare_subscriber() -> list[Figure]:
    program.tune_garbage_collection()  # as the exporter runs
    ways = {"core": _bare, "streams": _ordered, "tap": _tapped, "understood": _understood}
    times: dict[str, list[float]] = {way: [] for way in ways}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(3):
            for way, measure in ways.items():
                with servers.start() as server:
                    runner.run(publisher.prepare(server.url))
                    times[way].append(runner.run(measure(server.url)))
    rate = {way: TAPPED / statistics.median(taken) for way, taken in times.items()}
    ratio = rate["tap"] / rate["core"]
    return [
        Figure(
            "live tap: messages a second of CPU, read in order and checked",
            f"{rate['tap']:,.0f}, {ratio:.2f} of a bare subscriber",
            "≥ 0.5 of a bare subscriber",
            ratio >= 0.5,
            f"nats-py counting: {rate['core']:,.0f} core messages, {rate['streams']:,.0f} from ordered consumers",
        ),
        Figure(
            "events a second of CPU, read, understood and added up",
            f"{rate['understood']:,.0f}",
            "a million in 60 s: ≥ 17,000",
            rate["understood"] >= MILLION / 60,
        ),
    ]


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def _to_the_page(url: str, page: str) -> list[float]:
    """From the sending of an event to the end of the first scrape that shows it."""
    bus = await nats.connect(url)
    subject = "planning.probe"
    head = f'fleet_events_total{{family="planning",subject="{subject}"'
    delays = []
    async with httpx.AsyncClient() as client:

        async def shown() -> int:
            text = (await client.get(f"{page}/metrics", params={"name[]": "fleet_events_total"})).text
            return next((int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(head)), 0)

        for number in range(1, PROBES + 1):
            sent = time.perf_counter()
            await bus.publish(subject, b'{"story_id":"probe"}')
            await bus.flush()
            while await shown() < number:
                pass
            delays.append(time.perf_counter() - sent)
    await bus.close()
    return delays


async def _to_the_stream(page: str) -> list[float]:
    """From the sending of each event without an envelope to its coming out of the live stream."""
    delays = []
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", f"{page}/api/events/stream") as reply:
        async for line in reply.aiter_lines():
            if line.startswith("data: ") and (sent := json.loads(line[6:])["payload"].get("sent")):
                delays.append(time.time() - sent)
                if len(delays) >= RATE * SECONDS // 3:
                    break
    return delays


def _how_late() -> list[Figure]:
    with servers.start() as server, exporter(variables={"FLEET_EXPORTER_FLEET_URL": server.url}) as running:
        asyncio.run(publisher.prepare(server.url))
        httpx.get(f"{running.url}/metrics")
        sending = _publisher(server.url, RATE * (SECONDS + 5), RATE)
        streamed = asyncio.run(_to_the_stream(running.url))
        sending.wait()
        sending = _publisher(server.url, RATE * SECONDS, RATE)
        paged = asyncio.run(_to_the_page(server.url, running.url))
        sending.wait()
    page, stream = _percentile(paged, 0.99), _percentile(streamed, 0.99)
    return [
        Figure(
            f"event to /metrics at {RATE:,} events/s, p99, the scrape included",
            f"{page * 1000:.1f} ms (median {statistics.median(paged) * 1000:.1f} ms)",
            "≤ 10 ms",
            page <= 0.010,
        ),
        Figure(
            f"event to Server-Sent Events at {RATE:,} events/s, p99",
            f"{stream * 1000:.1f} ms (median {statistics.median(streamed) * 1000:.1f} ms)",
            "≤ 50 ms",
            stream <= 0.050,
        ),
    ]


def _to_loki() -> Figure:
    with servers.start() as server, loki.start() as store:
        process.wait_for(store.answers_queries, what="Loki to answer queries")
        asyncio.run(publisher.prepare(server.url))
        variables = {"FLEET_EXPORTER_JOURNAL_URL": server.url, "LOKI_URL": store.url}
        with exporter(variables=variables) as running:
            httpx.get(f"{running.url}/metrics", timeout=30)
            _publisher(server.url, RATE * SECONDS, RATE).wait()
            counts = {"0.1": 0.0, "+Inf": 0.0}
            while counts["+Inf"] < RATE * SECONDS:
                counts = dict.fromkeys(counts, 0.0)
                for line in httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines():
                    for bound in counts:
                        if line.startswith("fleet_journal_delay_seconds_bucket") and f'le="{bound}"' in line:
                            counts[bound] += float(line.rpartition(" ")[2])
    share = counts["0.1"] / counts["+Inf"]
    return Figure(
        f"event to Loki at {RATE:,} events/s",
        f"{share:.2%} within 100 ms",
        "p99 ≤ 100 ms",
        share >= 0.99,
    )


def _a_million() -> Figure:
    with servers.start() as server, exporter(variables={"FLEET_EXPORTER_FLEET_URL": server.url}) as running:
        asyncio.run(publisher.prepare(server.url))
        httpx.get(f"{running.url}/metrics")

        def followed() -> int:
            text = httpx.get(f"{running.url}/metrics", params={"name[]": "fleet_events_total"}, timeout=30).text
            return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("fleet_events_total"))

        warm = _publisher(server.url, 50_000)
        warm.wait()
        while followed() < 50_000:
            time.sleep(0.1)
        before = resident_bytes(running.process.pid)
        began = time.perf_counter()
        sending = _publisher(server.url, MILLION)
        while followed() < 50_000 + MILLION:
            time.sleep(0.25)
        taken = time.perf_counter() - began
        after = resident_bytes(running.process.pid)
        sending.wait()
    grown = (after - before) / 2**20
    return Figure(
        "1,000,000 events followed",
        f"{taken:.0f} s; memory {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after",
        "≤ 60 s, memory flat",
        taken <= 60 and grown < 20,
    )


def _hostile(chance: random.Random, number: int) -> Message:
    """Random bytes, deep JSON, forged agents, roles, stories, producers and subjects."""
    kind = number % 5
    name = f"{chance.getrandbits(64):x}"
    if kind == 0:
        data = chance.randbytes(chance.randrange(200))
    elif kind == 1:
        data = b'{"a":' * 5000
    elif kind == 2:
        forged = {"agent_id": name, "role": name, "task_id": name, "model": name, "num_agents": 10**9, "story_id": name}
        data = json.dumps(forged | {"duration_ms": chance.random() * 1e9, "proposal": {"tokens": 7}}).encode()
    elif kind == 3:
        data = json.dumps({"story_id": name, "from_state": name, "to_state": name[::-1], "producer": name}).encode()
    else:
        data = json.dumps({"payload": {"status": name, "task_id": name}, "idempotency_key": 1, "producer": name}).encode()
    subjects = (
        "agent.response.completed",
        f"planning.{name}",
        "planning.story.transitioned",
        "deliberation.completed",
        name,
    )
    return Message(subjects[chance.randrange(5)], data, 1_763_632_800.0 + number / 1000, "S", number)


def _a_million_hostile() -> Figure:
    fleet, chance = Fleet(), random.Random(1)

    def told(numbers: range) -> tuple[float, int]:
        for number in numbers:
            fleet.apply(parsed(_hostile(chance, number)))
        fleet.expire(1_763_632_800.0 + numbers.stop / 1000)
        lines = rendered(grouped(samples(fleet, 1_763_632_800.0)), Format.TEXT).count(b"\n")
        return resident_bytes() / 2**20, lines

    before, some = told(range(1, MILLION // 5))
    after, many = told(range(MILLION // 5, MILLION))
    return Figure(
        "1,000,000 hostile messages",
        f"memory {before:.0f} MiB after a fifth, {after:.0f} MiB after all; {some:,} then {many:,} lines",
        "memory flat, series at their cap",
        after - before < 20 and many < 12_000,
    )


def figures() -> list[Figure]:
    return [*_beside_a_bare_subscriber(), *_how_late(), _to_loki(), _a_million(), _a_million_hostile()]
