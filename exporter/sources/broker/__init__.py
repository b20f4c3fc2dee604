"""An agent broker's SQLite database, in WAL mode and in use: read-only, in short transactions, from the last row on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from exporter.clients.sqlite import Reading, SqliteReader
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.events.broadcast import EventBroadcaster
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.broker import BrokerOptions as BrokerOptions
from exporter.sources.broker import dashboard, samples
from exporter.sources.broker.events import event_of
from exporter.sources.broker.tables import NEW_EVENTS, BrokerSnapshot, Tables

_POLL = 1.0
"""Seconds between two queries for new events."""
_MOST_EVENTS = 500


class Broker(Source, Target[BrokerSnapshot]):
    """Reads one broker's database."""

    kind: ClassVar[str] = samples.SYSTEM
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    def __init__(self, options: BrokerOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        assert options.database is not None
        self._max_agents = options.max_agents
        self._tables = Tables()
        self._reader = SqliteReader(options.database, wait=options.timeout / 2, begin=self._tables.begin, read=self._read)
        self._snapshot: BrokerSnapshot | None = None
        self._live = EventBroadcaster()
        self._last_event: int | None = None

    @property
    def server(self) -> str:
        return str(self._reader.path)

    @property
    def live(self) -> EventBroadcaster:
        return self._live

    def disconnect_clients(self) -> None:
        self._live.disconnect()

    async def run(self) -> None:
        """The first reading; then new events as they are written."""
        await self._reader.start()
        while True:
            with contextlib.suppress(SourceError):  # a scrape reports it
                for row in await self._reader.ask(self._new_events):
                    self._live.publish(event_of(row, time.time()))
            await asyncio.sleep(_POLL)

    async def wait_synced(self) -> None:
        await self._reader.wait_tried()

    async def collect(self) -> BrokerSnapshot:
        return await self._reader.update()

    def samples(self, snapshot: BrokerSnapshot) -> Iterable[Sample]:
        return samples.samples(snapshot)

    def agents(self) -> list[dict[str, Any]]:
        """The broker's agents as of the last collection."""
        return samples.agents_view(self._snapshot) if self._snapshot is not None else []

    async def dashboard(self) -> dict[str, Any]:
        """Agents with their latest figures, the last events, unresolved errors. Raises SourceError."""
        found: dict[str, Any] = await self._reader.ask(dashboard.dashboard)
        return found

    async def agent(self, agent: str, hours: float) -> dict[str, Any] | None:
        """One agent's figures, events and errors; None for an unknown agent. Raises SourceError."""
        since = time.time() - hours * 3600
        found: dict[str, Any] | None = await self._reader.ask(lambda reading: dashboard.agent(reading, agent, since))
        return found

    def _read(self, reading: Reading) -> BrokerSnapshot:
        self._snapshot = self._tables.read(reading, now=time.time(), max_agents=self._max_agents)
        return self._snapshot

    def _new_events(self, reading: Reading) -> list[tuple[Any, ...]]:
        """The rows since the last call; none on the first."""
        newest = reading.last_row("agent_events")
        if self._last_event is None or newest < self._last_event:
            self._last_event = newest
        rows = reading.rows(NEW_EVENTS, (self._last_event, _MOST_EVENTS))
        if rows:
            self._last_event = rows[-1][0]
        return rows
