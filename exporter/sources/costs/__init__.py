"""A cost ledger in SQLite (`telemetry.db`), read from the last row on; `ledger` has the aggregates.

The first reading, which may be of millions of rows, is made in short transactions between scrapes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from exporter.clients.sqlite import Reading, SqliteReader
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.costs import CostsOptions as CostsOptions
from exporter.sources.costs import ledger, samples
from exporter.sources.costs.ledger import CostsSnapshot, Ledger, Read

_CHECK = 2.0
"""Seconds between two ranges that are read again."""


class Costs(Source, Target[CostsSnapshot]):
    """Reads one ledger file."""

    kind: ClassVar[str] = samples.SOURCE
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    def __init__(self, options: CostsOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        assert options.database is not None
        self._budgets = {"day": options.budget_per_day, "month": options.budget_per_month}
        self._ledger = Ledger()
        self._reader = SqliteReader(options.database, wait=options.timeout / 2, begin=self._ledger.begin, read=self._read)

    @property
    def server(self) -> str:
        return str(self._reader.path)

    async def run(self) -> None:
        """The first reading; then ranges of rows again, one after another."""
        await self._reader.start()
        while True:
            await asyncio.sleep(_CHECK)
            with contextlib.suppress(SourceError):  # a scrape reports it
                await self._reader.ask(self._check, locked=True)

    async def wait_synced(self) -> None:
        await self._reader.wait_tried()

    async def collect(self) -> CostsSnapshot:
        return await self._reader.update()

    def samples(self, snapshot: CostsSnapshot) -> Iterable[Sample]:
        return samples.samples(snapshot, self._budgets)

    def _read(self, reading: Reading) -> CostsSnapshot:
        now = datetime.now(UTC)
        read = self._rows(reading)
        self._ledger.read(read, reading.first_row(ledger.TABLE), reading.last_row(ledger.TABLE), now.timestamp())
        return self._ledger.snapshot(now)

    def _check(self, reading: Reading) -> None:
        self._ledger.check(self._rows(reading), datetime.now(UTC).timestamp())

    def _rows(self, reading: Reading) -> Read:
        columns = reading.columns(ledger.TABLE)
        if "timestamp" not in columns:
            raise SourceError(
                Reason.MALFORMED, f"{self.server}: expected a table {ledger.TABLE} with a column timestamp, got none"
            )
        query = ledger.query(columns)

        def rows(after: int, until: int, most: int) -> list[tuple[Any, ...]]:
            found = reading.rows(query, (after, until, most))
            if len(found) == most:
                reading.release()
            return found

        return rows
