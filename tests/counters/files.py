"""Backends that are files: the cost ledger, the broker's database and the task board, read by a running source."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from exporter.source import Source
from exporter.sources.broker import Broker, BrokerOptions
from exporter.sources.costs import Costs, CostsOptions
from exporter.sources.taskboard import Taskboard, TaskboardOptions
from tests.sources.broker_tables import broker, insert
from tests.sources.ledgers import LABELS, invoke, writer
from tests.sources.task_files import body, put
from tests.support.pages import Page, followed, page_now, page_where


class Followed:
    """A running source that can be started again."""

    source: Source

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self._open = AsyncExitStack()

    def made(self) -> Source:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.start_exporter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def start_exporter(self) -> None:
        await self._open.aclose()
        self.source = self.made()
        await self._open.enter_async_context(followed(self.source))
        await self.page()

    async def page(self) -> Page:
        return await page_now(self.source)


class Ledger(Followed):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "telemetry.db"
        with writer(self.path) as ledger:
            invoke(ledger, -1)

    def made(self) -> Source:
        return Costs(CostsOptions(database=self.path))

    async def work(self) -> Mapping[str, float]:
        with writer(self.path) as ledger:
            for number in itertools.islice(self.numbers, 3):
                invoke(ledger, number)
        counted = {"invocations": 3, "prompt_tokens": 30, "completion_tokens": 15, "usd": 1.5}
        return {
            **{f"fleet_cost_{name}_total{{{LABELS}}}": rise for name, rise in counted.items()},
            'fleet_cost_latency_seconds_count{model="m"}': 3,
            'fleet_cost_latency_seconds_sum{model="m"}': 0.9,
            'fleet_cost_latency_seconds_bucket{model="m",le="0.5"}': 3,
        }

    async def delete(self) -> None:
        """Retention."""
        with writer(self.path) as ledger:
            ledger.execute("DELETE FROM invocations WHERE id > 1")

    async def replace(self) -> None:
        with writer(self.folder / "new.db") as other:
            for number in range(50):
                invoke(other, 1000 + number)
        (self.folder / "new.db").replace(self.path)


class BrokerTables(Followed):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "broker.db"
        with broker(self.path) as tables:
            self._fill(tables, 1)

    def made(self) -> Source:
        return Broker(BrokerOptions(database=self.path))

    def _fill(self, tables: sqlite3.Connection, rows: int) -> None:
        for number in itertools.islice(self.numbers, rows):
            insert(tables, "agent_events", agent_id="a", event_type="error")
            insert(tables, "messages", message_id=str(number), latency_ms=80)

    async def work(self) -> Mapping[str, float]:
        with sqlite3.connect(self.path, isolation_level=None) as tables:
            self._fill(tables, 3)
        tables.close()
        return {
            'fleet_broker_events_total{type="error",origin="agent"}': 3,
            "fleet_broker_message_latency_seconds_count": 3,
            "fleet_broker_message_latency_seconds_sum": 0.24,
            'fleet_broker_message_latency_seconds_bucket{le="0.1"}': 3,
        }

    async def delete(self) -> None:
        with sqlite3.connect(self.path, isolation_level=None) as tables:
            tables.execute("DELETE FROM agent_events WHERE id > 1")
            tables.execute("DELETE FROM messages WHERE id > 1")
        tables.close()

    async def replace(self) -> None:
        with broker(self.folder / "new.db") as tables:
            self._fill(tables, 50)
        (self.folder / "new.db").replace(self.path)


class Board(Followed):
    """Tasks that are created, assigned after an hour, and completed after another, out of order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = folder / "board"
        for column in ("inbox", "assigned/backend", "done/backend"):
            (self.root / column).mkdir(parents=True)
        put(self.root, "inbox/other.yaml", body(id="other", status="new"))

    def made(self) -> Source:
        return Taskboard(TaskboardOptions(root=self.root))

    async def start_exporter(self) -> None:
        await super().start_exporter()
        await self.source.wait_synced()

    async def _shown(self, name: str, rise: float, before: Page) -> None:
        await page_where(self.source, lambda page: page[name] >= before[name] + rise)

    async def work(self) -> Mapping[str, float]:
        start = await self.page()
        now, number = datetime.now(UTC), next(self.numbers)
        created = {"id": f"t-{number}", "created_at": (now - timedelta(hours=2)).isoformat()}
        times = created | {"assigned_at": (now - timedelta(hours=1)).isoformat(), "completed_at": now.isoformat()}
        inbox, assigned, done = (f"{where}/t-{number}.yaml" for where in ("inbox", "assigned/backend", "done/backend"))
        put(self.root, inbox, body(status="new", **created))
        await self._shown(_changes("created"), 1, start)
        put(self.root, inbox, body(status="assigned", **times)).rename(self.root / assigned)
        await self._shown(_changes("assigned"), 1, start)
        put(self.root, assigned, body(status="done", **times)).rename(self.root / done)
        await self._shown(_changes("completed"), 1, start)
        return {
            **{_changes(kind): 1 for kind in ("created", "assigned", "completed")},
            "fleet_board_illegal_moves_total": 1,
            "fleet_board_queue_duration_seconds_count": 1,
            "fleet_board_queue_duration_seconds_sum": 3600,
            "fleet_board_cycle_duration_seconds_count": 1,
            "fleet_board_cycle_duration_seconds_sum": 7200,
        }

    async def delete(self) -> None:
        """Done tasks are removed."""
        for file in await asyncio.to_thread(lambda: list((self.root / "done/backend").iterdir())):
            file.unlink()
        await page_where(self.source, lambda page: page['fleet_board_column_tasks{column="done"}'] == 0)

    async def rewrite(self) -> None:
        """A finished task is saved again as editors do: another file takes its place."""
        [file] = list((self.root / "done/backend").glob("t-0.yaml"))
        temporary = put(self.root, "done/backend/sedAbC", file.read_text() + "# saved again\n")
        temporary.replace(file)
        await page_where(self.source, lambda page: page['fleet_board_column_tasks{column="done"}'] == 2)


def _changes(kind: str) -> str:
    return f'fleet_board_changes_total{{kind="{kind}"}}'
