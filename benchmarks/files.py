"""File-based sources: a ledger of a million rows, a broker database of twenty million, a board of 20 000 tasks."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure, awaited_median
from demo.scenario.files import BROKER_SCHEMA, LEDGER_SCHEMA
from exporter.events.broadcast import listening_to
from exporter.source import Source
from exporter.sources.broker import Broker, BrokerOptions
from exporter.sources.costs import Costs, CostsOptions
from exporter.sources.taskboard import Taskboard, TaskboardOptions
from tests.support.pages import samples_of

ROWS, BROKER_ROWS, AGENTS, TASKS, CHANGES = 1_000_000, 20_000_000, 1000, 20_000, 200

_COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"


def _ledger(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(f"PRAGMA synchronous = off; {LEDGER_SCHEMA}")
        connection.execute(
            f"""{_COUNT} INSERT INTO invocations (invocation_id, timestamp, agent_name, tool_name, model_name, prompt_tokens,
            completion_tokens, cost_usd, latency_ms, status) SELECT i, strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now',
            '-' || (i % 2592000) || ' seconds'), 'agent-' || (i % 20), 'tool-' || (i % 3), 'model-' || (i % 5), i % 900,
            i % 700, (i % 100) * 0.0001, i % 9000, CASE i % 10 WHEN 0 THEN 'error' ELSE 'success' END FROM n""",
            (ROWS,),
        )
    connection.close()


def _broker(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(f"PRAGMA journal_mode = off; PRAGMA synchronous = off; {BROKER_SCHEMA}")
        connection.execute(
            f"""{_COUNT} INSERT INTO agents SELECT 'agent-' || i, 'claude', 'online', 'tmux', '{{"pid": 7}}', 30000,
            datetime('now'), '', '' FROM n""",
            (AGENTS,),
        )
        connection.execute(
            f"""{_COUNT} INSERT INTO agent_metrics (agent_id, timestamp, cpu_percent, memory_mb, status, error_count,
            message_count) SELECT 'agent-' || (i % {AGENTS} + 1), '2026-02-06 10:11:12', i % 100, i % 1000, 'online', 0, 3
            FROM n""",
            (BROKER_ROWS,),
        )
        connection.execute(
            f"{_COUNT} INSERT INTO agent_events (agent_id, event_type, metadata) SELECT 'agent-1', 'info', NULL FROM n",
            (ROWS // 10,),
        )
        connection.execute(
            f"""{_COUNT} INSERT INTO tickets SELECT i, 'a', 'b', '', '', 1, 30000, 'completed', '', datetime('now'), ''
            FROM n""",
            (AGENTS * 10,),
        )
    connection.close()


async def _first_and_later(source: Source) -> tuple[float, float]:
    """Seconds of the first collection, and of a scrape after it."""
    began = time.perf_counter()
    following = asyncio.create_task(source.run())
    await source.wait_synced()
    first = time.perf_counter() - began
    later = await awaited_median(lambda: samples_of(source))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return first, later


def _figure(what: str, first: float, later: float, most_first: float, most_later: float) -> Figure:
    return Figure(
        what,
        f"first collection {first:.1f} s, then {later * 1000:.1f} ms per scrape",
        f"≤ {most_first:.0f} s, then ≤ {most_later * 1000:.0f} ms",
        first <= most_first and later <= most_later,
    )


def _task(number: int, status: str) -> str:
    return (
        f"id: task-{number}\nagent: agent-{number % 20}\nstatus: {status}\ntitle: Task {number}\npriority: high\n"
        f"created_at: '2026-02-06T10:11:12Z'\ncontext: |\n" + "  some text that explains what there is to do\n" * 10
    )


async def _board(root: Path) -> tuple[float, float, list[float]]:
    for number in range(TASKS):
        file = root / "done" / f"agent-{number % 20}" / f"task-{number}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_task(number, "done"))
    (root / "inbox").mkdir()
    source = Taskboard(TaskboardOptions(root=root))
    began = time.perf_counter()
    following = asyncio.create_task(source.run())
    await source.wait_synced()
    first, later, delays = time.perf_counter() - began, await awaited_median(lambda: samples_of(source)), []
    await asyncio.sleep(3)  # until the files are old enough to be considered written, and the watch has started
    with listening_to([source.live]) as listening:
        for number in range(CHANGES):
            changed = time.perf_counter()
            temporary = root / "inbox" / "new.tmp"
            temporary.write_text(_task(TASKS + number, "new"))
            temporary.rename(root / "inbox" / f"new-{number}.yaml")
            await listening.next()
            delays.append(time.perf_counter() - changed)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return first, later, sorted(delays)


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _ledger(root / "telemetry.db")
        ledger = asyncio.run(_first_and_later(Costs(CostsOptions(database=root / "telemetry.db", timeout=60))))
        _broker(root / "broker.db")
        broker = asyncio.run(_first_and_later(Broker(BrokerOptions(database=root / "broker.db", timeout=60))))
        first, later, delays = asyncio.run(_board(root / "board"))
    p99 = delays[int(len(delays) * 0.99)]
    return [
        _figure(f"ledger of {ROWS:,} rows", *ledger, 10, 0.010),
        _figure(f"broker of {AGENTS:,} agents and {BROKER_ROWS:,} rows", *broker, 10, 0.050),
        _figure(f"board of {TASKS:,} task files", first, later, 10, 0.010),
        Figure(
            f"file change to live stream, {TASKS:,} files, p99",
            f"{p99 * 1000:.0f} ms (median {delays[len(delays) // 2] * 1000:.0f} ms)",
            "≤ 100 ms",
            p99 <= 0.1,
        ),
    ]
