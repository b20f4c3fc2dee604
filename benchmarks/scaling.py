"""Growth of cost: up to 100 000 agents; consumers and RayJobs divided among 1, 2 and 4 exporters.

Each measurement runs in a new process, to exclude reused memory.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec
import nats

from benchmarks.figure import Figure, awaited_median, median, resident_bytes
from demo.scenario.fleet import ROLES
from exporter.config.options import Address
from exporter.config.sharding import Shard
from exporter.events.model import Message, parsed
from exporter.fleet.agents import HISTORY
from exporter.fleet.state import Caps, Fleet
from exporter.metrics import process
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import Sample
from exporter.scrape import Scraper
from exporter.sources.fleet.samples import samples
from exporter.sources.fleet.snapshot import state_of
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from exporter.sources.rayjob.jobs import Correlation, JobRow, RayJobs
from exporter.sources.rayjob.jobs import samples as job_samples
from exporter.sources.rayjob.objects import Key
from servers import nats as servers

AGENTS = (1_000, 10_000, 50_000, 100_000)
SHARDS = (1, 2, 4)
STREAMS, CONSUMERS = 40, 250
JOBS = 100_000
_PAGE_OF_JOBS = 500
_NOW = 1_763_632_800.0
_ROUNDS = 3

T = TypeVar("T")


class Cost(NamedTuple):
    """Cost of a page: seconds, lines, bytes as text and as gzip, and bytes of memory for its source data."""

    seconds: float
    lines: int
    size: int
    compressed: int
    memory: int

    @property
    def text(self) -> str:
        size = f"{self.size / 1e6:.1f} MB ({self.compressed / 1e6:.2f} as gzip)"
        return f"{self.seconds * 1000:,.0f} ms, {self.lines:,} lines, {size}"


def _apart(work: Callable[..., T], *arguments: object) -> T:
    """The result of a function called in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _page(found: Iterable[Sample]) -> bytes:
    return rendered(grouped(found), ExpositionFormat.TEXT)


def _cost(seconds: float, page: bytes, memory: int) -> Cost:
    return Cost(seconds, page.count(b"\n"), len(page), len(gzip.compress(page, 1)), memory)


def agents(number: int) -> Cost:
    """Agents with full history, in as many roles as the fleet has; three per task."""
    process.tune_garbage_collection()
    before = resident_bytes()
    fleet = Fleet(Caps(agents=number))
    for task, agent in itertools.product(range(HISTORY), range(number)):
        role = ROLES[agent // 3 % len(ROLES)]
        body = {"task_id": f"T-{task}-{agent // 3}", "agent_id": f"agent-{agent:06}", "role": role, "num_agents": 3}
        data = json.dumps(body | {"duration_ms": 1500, "model": "Qwen/Qwen3-0.6B", "story_id": f"US-{agent % 900}"}).encode()
        fleet.apply(parsed(Message("agent.response.completed", data, _NOW + task, "AGENT_RESPONSES", 1)), _NOW + task)
    gc.collect()
    memory = resident_bytes() - before
    seconds = median(lambda: _page(samples(state_of(fleet, _NOW + HISTORY))), rounds=_ROUNDS)
    return _cost(seconds, _page(samples(state_of(fleet, _NOW + HISTORY))), memory)


def jobs(shard: Shard) -> Cost:
    """Every RayJob is received, as from the API server; the shard stores only its own."""
    process.tune_garbage_collection()

    def job(number: int) -> msgspec.Raw:
        labels = {"fleet/agent": f"agent-dev-{number % 2000:04}", "fleet/role": "DEV", "fleet/task": f"TSK-{number}"}
        meta = {"name": f"deliberation-{number:06}", "namespace": "fleet", "uid": f"uid-{number}", "labels": labels}
        status = {"jobStatus": "RUNNING", "jobDeploymentStatus": "Running", "startTime": "2026-01-01T00:00:00Z"}
        return msgspec.Raw(msgspec.json.encode({"metadata": meta, "spec": {"backoffLimit": 2}, "status": status}))

    store = RayJobs(Correlation("fleet/agent", "fleet/task", "fleet/role", "fleet/story"), shard)
    before = resident_bytes()
    rows: dict[Key, JobRow] = {}
    for first in range(0, JOBS, _PAGE_OF_JOBS):
        rows |= store.rows("", [job(number) for number in range(first, first + _PAGE_OF_JOBS)])
    store.replace("", rows)
    gc.collect()
    memory = resident_bytes() - before

    def page() -> bytes:
        return _page(job_samples(list(store.rows_now().values())))

    return _cost(median(page, rounds=_ROUNDS), page(), memory)


def consumers(url: str, shard: Shard) -> Cost:
    """Includes the requests."""
    process.tune_garbage_collection()

    async def measure() -> Cost:
        before = resident_bytes()
        source = Jetstream(JetstreamOptions(url=(Address(url),), timeout=30), shard)
        scraper = Scraper([source], shard=shard)
        page = b""

        async def read() -> None:
            nonlocal page
            page = _page(await scraper.read(30))

        await read()
        seconds = await awaited_median(read, rounds=_ROUNDS)
        gc.collect()
        memory = resident_bytes() - before
        await scraper.close()
        return _cost(seconds, page, memory)

    return asyncio.run(measure())


async def _fill(url: str) -> None:
    client = await nats.connect(url)
    for stream in range(STREAMS):
        await client.jetstream().add_stream(name=f"STREAM_{stream}", subjects=[f"s{stream}.>"])
        await asyncio.gather(
            *(
                client.request(
                    f"$JS.API.CONSUMER.DURABLE.CREATE.STREAM_{stream}.worker-{number}",
                    json.dumps(
                        {
                            "stream_name": f"STREAM_{stream}",
                            "config": {"durable_name": f"worker-{number}", "ack_policy": "explicit"},
                        }
                    ).encode(),
                    timeout=30,
                )
                for number in range(CONSUMERS)
            )
        )
    await client.close()


def _agents() -> Iterable[Figure]:
    costs = {number: _apart(agents, number) for number in AGENTS}
    for number, cost in costs.items():
        each = cost.seconds / number
        slope = f"{each * 1e6:.1f} µs and {cost.memory / number / 1024:.1f} KiB per agent"
        yield Figure(
            f"page of {number:,} agents, {HISTORY} tasks each", cost.text, "≤ 20 µs, ≤ 8 KiB per agent",
            each <= 20e-6 and cost.memory / number <= 8 * 1024, slope,
        )  # fmt: skip


def _divided(what: str, whole: int, measured: Callable[[Shard], Cost]) -> Iterable[Figure]:
    """For each number of shards, the shard with the largest page and its share of all lines."""
    alone: Cost | None = None
    for count in SHARDS:
        costs = [measured(Shard(number, count)) for number in range(count)]
        largest = max(costs, key=lambda cost: cost.lines)
        alone = alone or largest
        share = largest.lines / sum(cost.lines for cost in costs)
        yield Figure(
            f"page of {whole:,} {what}, the largest of {count} shard{'s'[: count > 1]}",
            f"{largest.text}, {largest.memory / 2**20:.0f} MiB",
            "≤ 2 of an even share of the time of one shard",
            largest.seconds <= 2 * alone.seconds / count,
            f"{largest.seconds / whole / share * 1e6:.1f} µs each; {share:.0%} of all lines",
        )


def figures() -> list[Figure]:
    found = [*_agents(), *_divided("RayJobs", JOBS, lambda shard: _apart(jobs, shard))]
    with servers.start() as server:
        asyncio.run(_fill(server.url))
        url = server.url
        found += _divided("consumers", STREAMS * CONSUMERS, lambda shard: _apart(consumers, url, shard))
    return found
