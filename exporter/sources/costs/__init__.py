"""A cost ledger in SQLite (`telemetry.db`): read on from the last row at each scrape, added up by SQLite itself.

The first reading, which may be of millions of rows, is made in stretches beside the scrapes; each later one costs what is
new. The file is only read, and what is locked, damaged or of another schema is told with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import PrivateAttr

from exporter.clients.sqlite import Reading
from exporter.config.options import option
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.sources.costs import ledger
from exporter.sources.costs.ledger import Ledger
from exporter.sqlite_source import SqliteSource

_STRETCH = 20_000
"""Rows added up in one look, which takes some 20 ms: as long as a writer may have to wait."""


class Costs(SqliteSource):
    """One ledger file."""

    kind: ClassVar[str] = "costs"
    metrics: ClassVar[tuple[Metric, ...]] = ledger.METRICS

    database: Annotated[Path | None, option("SQLite file of the cost ledger.")] = None
    budget_per_day: Annotated[float, option("Budget of a day in US dollars; 0 is none.")] = 0.0
    budget_per_month: Annotated[float, option("Budget of a month in US dollars; 0 is none.")] = 0.0

    _ledger: Ledger = PrivateAttr(default_factory=Ledger)

    def begins(self) -> None:
        self._ledger = Ledger()

    def read_on(self, reading: Reading) -> None:
        columns = reading.columns(ledger.TABLE)
        if not {"id", "timestamp"} <= columns:
            raise SourceError(Reason.MALFORMED, f"{self.database} has no table {ledger.TABLE} with id and timestamp")
        newest = reading.newest(ledger.TABLE)
        if newest < self._ledger.last_id:
            self._ledger = Ledger()  # rows were taken away from the end: it is not what was read
        recent = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
        query = ledger.query(columns)
        while self._ledger.last_id < newest:
            last = reading.end_of_stretch(ledger.TABLE, self._ledger.last_id, _STRETCH)
            self._ledger.add(reading.rows(query, (recent, self._ledger.last_id, last)), last)

    def rows_read(self) -> Iterable[Sample]:
        now = datetime.now(UTC)
        self._ledger.forget(now)
        return self._ledger.samples(now, {"day": self.budget_per_day, "month": self.budget_per_month})

    def by_day(self, days: int) -> list[dict[str, Any]]:
        """Cost, tokens and invocations by day and model. Raises SourceError while they are not known."""
        self.check_read()
        return self._ledger.by_day(datetime.now(UTC), days)
