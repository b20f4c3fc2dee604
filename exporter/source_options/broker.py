"""Options of the source `broker`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from exporter.config.options import Count, option
from exporter.source import SourceOptions


class BrokerOptions(SourceOptions):
    """The SQLite database of an agent broker."""

    database: Annotated[Path | None, option("SQLite file of the agent broker.")] = None
    max_agents: Annotated[Count, option("Maximum number of agents tracked (most recent heartbeat first).")] = 1000

    @property
    def enabled(self) -> bool:
        return self.database is not None
