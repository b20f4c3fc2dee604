"""An agent broker's SQLite database, in WAL mode and in use: read only, in short looks, on from the last row.

The first reading of what only grows (events, messages) is made in stretches beside the scrapes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import PrivateAttr

from exporter.clients.sqlite import Reading
from exporter.config.options import Count, option
from exporter.errors import SourceError
from exporter.events.broadcast import LiveStream
from exporter.metrics.metric import Metric, Sample
from exporter.sources.broker import dashboard, samples
from exporter.sources.broker.events import event_of
from exporter.sources.broker.tables import TOLD
from exporter.sources.broker.tables import Broker as Tables
from exporter.sqlite_source import SqliteSource

_LOOK_AGAIN = 1.0
"""Seconds between two looks for new events."""
_AT_ONCE = 500


class Broker(SqliteSource):
    """One broker's database."""

    kind: ClassVar[str] = "broker"
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    database: Annotated[Path | None, option("SQLite file of the agent broker.")] = None
    max_agents: Annotated[Count, option("Agents told apart, those heard of last.")] = 1000

    _tables: Tables = PrivateAttr(default_factory=Tables)
    _live: LiveStream = PrivateAttr(default_factory=LiveStream)
    _told: int | None = PrivateAttr(None)

    def begins(self) -> None:
        self._tables = Tables()

    def read_on(self, reading: Reading) -> None:
        while not self._tables.read(reading, now=time.time(), max_agents=self.max_agents):
            pass

    def rows_read(self) -> Iterable[Sample]:
        return samples.samples(self._tables)

    async def run(self) -> None:
        """The first reading; then the events as they come."""
        await super().run()
        while True:
            with contextlib.suppress(SourceError):  # a scrape says so
                for row in await asyncio.to_thread(self._asked, self._new_events):
                    self._live.publish(event_of(row, time.time()))
            await asyncio.sleep(_LOOK_AGAIN)

    def _new_events(self, reading: Reading) -> list[tuple[Any, ...]]:
        """The rows since the last look; at the first one only where they end."""
        newest = reading.newest("agent_events")
        if self._told is None or newest < self._told:
            self._told = newest
        rows = reading.rows(TOLD, (self._told, _AT_ONCE))
        if rows:
            self._told = int(rows[-1][0])
        return rows

    @property
    def live(self) -> LiveStream:
        return self._live

    def agents(self) -> list[dict[str, Any]]:
        """The broker's agents."""
        return samples.agents_view(self._tables)

    async def dashboard(self) -> dict[str, Any]:
        """Agents with their latest figures, the last events, unresolved errors. Raises SourceError."""
        return await asyncio.to_thread(self._asked, dashboard.dashboard)

    async def agent(self, agent: str, hours: float) -> dict[str, Any] | None:
        """One agent's figures, events and errors; None for one that is not known. Raises SourceError."""
        return await asyncio.to_thread(self._asked, lambda reading: dashboard.agent(reading, agent, hours))

    def _asked(self, ask: Any) -> Any:
        with self.file().reading() as reading:
            return ask(reading)
