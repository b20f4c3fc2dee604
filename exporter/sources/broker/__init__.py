"""An agent broker's SQLite database, in WAL mode and in use: read only, in short looks, on from the last row.

The first reading of what only grows (events, messages) is made in stretches beside the scrapes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import PrivateAttr

from exporter.metric import Metric, Sample
from exporter.source import Count, Reason, Source, SourceError, option
from exporter.sources.broker import dashboard, samples
from exporter.sources.broker.tables import Broker as Tables
from exporter.sqlite_file import Identity, SqliteFile


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
    _reading: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def enabled(self) -> bool:
        return self.database is not None

    @property
    def server(self) -> str:
        return str(self.database or "")

    async def follow(self) -> None:
        """The first reading, as often as it takes for it to succeed."""
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
