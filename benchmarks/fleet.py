"""Events: delay to the metrics page, the live stream and Loki; a million events; a million malicious messages."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time

import httpx
import nats

from benchmarks import publisher
from benchmarks.figure import Figure, resident_bytes
from exporter.events.model import Message, parsed
from exporter.fleet.state import Fleet
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.sources.fleet.samples import samples
from exporter.sources.fleet.snapshot import state_of
from servers import loki, process
from servers import nats as servers
from tests.support.process import exporter

RATE, SECONDS = 1000, 10
MILLION = 1_000_000
PROBES = 300


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def _to_the_page(url: str, page: str) -> list[float]:
    """Seconds from sending an event to the end of the first scrape that includes it."""
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
    """Seconds from sending each event without an envelope to its arrival in the live stream."""
    delays = []
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", f"{page}/api/events/stream") as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and (sent := json.loads(line[6:])["payload"].get("sent")):
                delays.append(time.time() - sent)
                if len(delays) >= RATE * SECONDS // 3:
                    break
    return delays


def _how_late() -> list[Figure]:
    with servers.start() as server, exporter(variables={"FLEET_EXPORTER_FLEET_URL": server.url}) as running:
        asyncio.run(publisher.prepare(server.url))
        httpx.get(f"{running.url}/metrics")
        sending = publisher.started(server.url, RATE * (SECONDS + 5), RATE)
        streamed = asyncio.run(_to_the_stream(running.url))
        sending.wait()
        sending = publisher.started(server.url, RATE * SECONDS, RATE)
        paged = asyncio.run(_to_the_page(server.url, running.url))
        sending.wait()
    page, stream = _percentile(paged, 0.99), _percentile(streamed, 0.99)
    return [
        Figure(
            f"event to /metrics at {RATE:,} events/s, p99, including the scrape",
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
        variables = {"FLEET_EXPORTER_LOKI_NATS_URL": server.url, "LOKI_URL": store.url}
        with exporter(variables=variables) as running:
            httpx.get(f"{running.url}/metrics", timeout=30)
            publisher.started(server.url, RATE * SECONDS, RATE).wait()
            counts = {"0.1": 0.0, "+Inf": 0.0}
            while counts["+Inf"] < RATE * SECONDS:
                counts = dict.fromkeys(counts, 0.0)
                for line in httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines():
                    for bound in counts:
                        if line.startswith("fleet_exporter_loki_delay_seconds_bucket") and f'le="{bound}"' in line:
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

        warm = publisher.started(server.url, 50_000)
        warm.wait()
        while followed() < 50_000:
            time.sleep(0.1)
        before = resident_bytes(running.process.pid)
        began = time.perf_counter()
        sending = publisher.started(server.url, MILLION)
        while followed() < 50_000 + MILLION:
            time.sleep(0.25)
        taken = time.perf_counter() - began
        after = resident_bytes(running.process.pid)
        sending.wait()
    grown = (after - before) / 2**20
    return Figure(
        "1,000,000 events consumed",
        f"{taken:.0f} s; memory {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after",
        "≤ 60 s, constant memory",
        taken <= 60 and grown < 20,
    )


def _hostile(chance: random.Random, number: int) -> Message:
    """Random bytes, deeply nested JSON, forged agents, roles, stories, producers and subjects."""
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

    def published(numbers: range) -> tuple[float, int]:
        for number in numbers:
            fleet.apply(parsed(_hostile(chance, number)))
        fleet.expire(1_763_632_800.0 + numbers.stop / 1000)
        lines = rendered(grouped(samples(state_of(fleet, 1_763_632_800.0))), ExpositionFormat.TEXT).count(b"\n")
        return resident_bytes() / 2**20, lines

    before, some = published(range(1, MILLION // 5))
    after, many = published(range(MILLION // 5, MILLION))
    return Figure(
        "1,000,000 malicious messages",
        f"memory {before:.0f} MiB after a fifth, {after:.0f} MiB after all; {some:,} then {many:,} lines",
        "constant memory, series at their limit",
        after - before < 20 and many < 12_000,
    )


def figures() -> list[Figure]:
    return [*_how_late(), _to_loki(), _a_million(), _a_million_hostile()]
