"""Options of the source `taskboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from exporter.config.options import Count, Seconds, option
from exporter.source import SourceOptions


class TaskboardOptions(SourceOptions):
    """A task board of YAML files."""

    root: Annotated[Path | None, option("Folder that holds inbox/, assigned/ and done/.")] = None
    rescan_interval: Annotated[Seconds, option("Interval between full scans, in seconds.")] = 60.0
    max_files: Annotated[Count, option("Maximum number of files read; the excess is counted.")] = 100_000

    @property
    def enabled(self) -> bool:
        return self.root is not None
