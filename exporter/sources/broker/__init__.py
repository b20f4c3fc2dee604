"""An agent broker's SQLite database, in WAL mode and in use: read only, in short looks, on from the last row.

The first reading of what only grows (events, messages) is made in stretches beside the scrapes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import PrivateAttr

from exporter.live import LiveStream
from exporter.metric import Metric, Sample
from exporter.source import Count, Reason, Source, SourceError, option
from exporter.sources.broker import dashboard, samples
from exporter.sources.broker.events import event_of
from exporter.sources.broker.tables import TOLD
from exporter.sources.broker.tables import Broker as Tables
from exporter.sqlite_file import Identity, Reading, SqliteFile

_LOOK_AGAIN = 1.0
"""Seconds between two looks for new events."""
_AT_ONCE = 500


class Broker(Source):
    """One broker's database."""

    kind: ClassVar[str] = "broker"
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    database: Annotated[Path | None, option("SQLite file of the agent broker.")] = None
    max_agents: Annotated[Count, option("Agents told apart, those heard of last.")] = 1000

    _tables: Tables = PrivateAttr(default_factory=Tables)
    _identity: Identity | None = PrivateAttr(None)
    _problem: SourceError | None = PrivateAttr(None)
    _current: bool = PrivateAttr(False)
    _tried: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _live: LiveStream = PrivateAttr(default_factory=LiveStream)
    _told: int | None = PrivateAttr(None)
    _reading: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def enabled(self) -> bool:
        return self.database is not None

    @property
    def server(self) -> str:
        return str(self.database or "")

    async def follow(self) -> None:
        """The first reading, as often as it takes for it to succeed; then the events as they come."""
        while not self._current:
            try:
                while not await asyncio.to_thread(self._read_on):
                    pass
                self._current = True
            except SourceError as error:
                self._problem = error
            self._tried.set()
            if not self._current:
                await asyncio.sleep(1.0)
        while True:
            with contextlib.suppress(SourceError):  # a scrape says so
                for row in await asyncio.to_thread(self._asked, self._new_events):
                    self._live.publish(event_of(row, time.time()))
            await asyncio.sleep(_LOOK_AGAIN)

    def _new_events(self, reading: Reading) -> list[tuple[Any, ...]]:
        """The rows since the last look; at the first one only where they end."""
        newest = int(reading.value("SELECT MAX(id) FROM agent_events") or 0)
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

    async def settled(self) -> None:
        await self._tried.wait()

    async def collect(self) -> Iterable[Sample]:
        await self._tried.wait()
        if not self._current:
            raise self._problem or SourceError(Reason.TIMEOUT, f"{self.database} is still being read")
        await asyncio.to_thread(self._read_on)
        return list(samples.samples(self._tables))

    async def dashboard(self) -> dict[str, Any]:
        """Agents with their latest figures, the last events, unresolved errors. Raises SourceError."""
        return await asyncio.to_thread(self._asked, dashboard.dashboard)

    async def agent(self, agent: str, hours: float) -> dict[str, Any] | None:
        """One agent's figures, events and errors; None for one that is not known. Raises SourceError."""
        return await asyncio.to_thread(self._asked, lambda reading: dashboard.agent(reading, agent, hours))

    def _asked(self, ask: Any) -> Any:
        with self._file().reading() as reading:
            return ask(reading)

    def _file(self) -> SqliteFile:
        assert self.database is not None
        return SqliteFile(self.database, wait=self.timeout / 2)

    def _read_on(self) -> bool:
        """One look; whether all is read. Raises SourceError."""
        with self._reading:
            file = self._file()
            identity = file.identity()
            if identity != self._identity:
                self._tables, self._identity = Tables(), identity
            with file.reading() as reading:
                done = self._tables.read(reading, now=time.time(), max_agents=self.max_agents)
            self._problem = None
            return done
