"""Options of the source `costs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from exporter.config.options import option
from exporter.source import SourceOptions


class CostsOptions(SourceOptions):
    """A cost ledger in SQLite."""

    database: Annotated[Path | None, option("SQLite file of the cost ledger.")] = None
    budget_per_day: Annotated[float, option("Daily budget, in US dollars; 0: none.")] = 0.0
    budget_per_month: Annotated[float, option("Monthly budget, in US dollars; 0: none.")] = 0.0

    @property
    def enabled(self) -> bool:
        return self.database is not None
