"""A cost ledger in SQLite (`telemetry.db`): read on from the last row at each scrape, added up by SQLite itself.

The first reading, which may be of millions of rows, is made in stretches beside the scrapes; each later one costs what is
new. The file is only read, and what is locked, damaged or of another schema is told with its reason.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import PrivateAttr

from exporter.metric import Metric, Sample
from exporter.source import Reason, Source, SourceError, option
from exporter.sources.costs import ledger
from exporter.sources.costs.ledger import Ledger
from exporter.sqlite_file import Identity, SqliteFile

_STRETCH = 20_000
"""Rows added up in one look, which takes some 20 ms: as long as a writer may have to wait."""


class Costs(Source):
    """One ledger file."""

    kind: ClassVar[str] = "costs"
    metrics: ClassVar[tuple[Metric, ...]] = ledger.METRICS

    database: Annotated[Path | None, option("SQLite file of the cost ledger.")] = None
    budget_per_day: Annotated[float, option("Budget of a day in US dollars; 0 is none.")] = 0.0
    budget_per_month: Annotated[float, option("Budget of a month in US dollars; 0 is none.")] = 0.0

    _ledger: Ledger = PrivateAttr(default_factory=Ledger)
    _identity: Identity | None = PrivateAttr(None)
    _problem: SourceError | None = PrivateAttr(None)
    _tried: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _reading: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _current: bool = PrivateAttr(False)

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
                await asyncio.to_thread(self._read_on)
            except SourceError as error:
                self._problem = error
            self._tried.set()
            if not self._current:
                await asyncio.sleep(1.0)

    async def settled(self) -> None:
        await self._tried.wait()

    async def collect(self) -> Iterable[Sample]:
        if self._current:
            await asyncio.to_thread(self._read_on)
        else:
            await self._tried.wait()
            if not self._current:
                raise self._problem or SourceError(Reason.TIMEOUT, f"{self.database} is still being read")
        now = datetime.now(UTC)
        self._ledger.forget(now)
        return list(self._ledger.samples(now, {"day": self.budget_per_day, "month": self.budget_per_month}))

    def by_day(self, days: int) -> list[dict[str, Any]]:
        """Cost, tokens and invocations by day and model. Raises SourceError while they are not known."""
        if not self._current:
            raise self._problem or SourceError(Reason.TIMEOUT, f"{self.database} is still being read")
        return self._ledger.by_day(datetime.now(UTC), days)

    def _read_on(self) -> None:
        """Read what is new, from the beginning where the file is another one. Raises SourceError."""
        assert self.database is not None
        with self._reading:
            file = SqliteFile(self.database, wait=self.timeout / 2)
            identity = file.identity()
            if identity != self._identity:
                self._ledger, self._identity, self._current = Ledger(), identity, False
            with file.reading() as reading:
                columns = reading.columns(ledger.TABLE)
                if not {"id", "timestamp"} <= columns:
                    raise SourceError(Reason.MALFORMED, f"{self.database} has no table {ledger.TABLE} with id and timestamp")
                newest = reading.value(f"SELECT MAX(id) FROM {ledger.TABLE}") or 0  # noqa: S608 - our own name
                if newest < self._ledger.last_id:
                    self._ledger = Ledger()  # rows were taken away from the end: it is not what was read
                recent = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
                query = ledger.query(columns)
                while self._ledger.last_id < newest:
                    last = reading.value(ledger.STRETCH, (self._ledger.last_id, _STRETCH))
                    rows = reading.rows(query, (recent, self._ledger.last_id, last))
                    self._ledger.add(rows, last)
            self._current = True
            self._problem = None
