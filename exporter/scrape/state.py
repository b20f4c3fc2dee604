"""State of the targets between scrapes, the exporter's metrics about them, and the limit on their series."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, labels, state_set
from exporter.source import Target

UP = gauge("fleet_exporter_source_up", "Whether the last collection of a source succeeded.", "source", "server")
FAILURE = state_set(
    "fleet_exporter_source_failure",
    "Why the last collection of a source failed; all 0 if it succeeded.",
    "source",
    "server",
    states=tuple(Reason),
    state_label="reason",
)
DURATION = gauge(
    "fleet_exporter_source_duration_seconds",
    "Duration of the last collection.",
    "source",
    "server",
    unit=Unit.SECONDS,
)
SERIES = gauge("fleet_exporter_source_series", "Series exported by the last collection.", "source", "server")
DROPPED = gauge(
    "fleet_exporter_source_dropped_series",
    "Series dropped by the last collection: over the source's max_series, or duplicates.",
    "source",
    "server",
)
LAST_SUCCESS = gauge(
    "fleet_exporter_source_last_success_timestamp_seconds",
    "Time of the last successful collection; no data before the first.",
    "source",
    "server",
    unit=Unit.TIMESTAMP,
)
RESTARTS = counter(
    "fleet_exporter_watcher_restarts_total",
    "Restarts of a source's watcher after an unexpected exit.",
    "source",
)
METRICS: tuple[Metric, ...] = (UP, FAILURE, DURATION, SERIES, DROPPED, LAST_SUCCESS, RESTARTS)


class Collection(NamedTuple):
    """Result of one collection of one target."""

    snapshot: Any
    samples: list[Sample]
    series: int
    dropped: int
    failure: SourceError | None
    """Why the target is down although it has samples."""


@dataclass(slots=True)
class TargetState:
    """State of one target between scrapes: for the page, the landing page, the API and the log."""

    source: Target[Any]
    up: bool | None = None
    reason: Reason | None = None
    message: str = ""
    duration: float = 0.0
    series: int = 0
    dropped: int = 0
    last_success: float | None = None
    snapshot: Any = field(default=None, repr=False)
    """The last collection's snapshot; None before the first."""
    task: asyncio.Task[Collection] | None = field(default=None, repr=False)
    started: float = 0.0
    late: bool = False

    @property
    def name(self) -> str:
        """The source, and its server if it has one, for display."""
        return f"{self.source.kind} {self.source.server}".rstrip()

    def samples(self, failure: SourceError | None = None) -> Iterable[Sample]:
        """The exporter's metrics about this target; `failure` is that of one page, which may have a shorter timeout."""
        if self.up is None and failure is None:
            return
        who = labels(source=self.source.kind, server=self.source.server)
        reason = failure.reason if failure else self.reason
        yield UP.at(who, reason is None)
        yield FAILURE.state_at(who, reason)
        yield DURATION.at(who, self.duration)
        yield SERIES.at(who, 0 if failure else self.series)
        yield DROPPED.at(who, 0 if failure else self.dropped)
        if self.last_success is not None:
            yield LAST_SUCCESS.at(who, self.last_success)


def bounded(samples: Iterable[Sample], metrics: Sequence[Metric], limit: int) -> tuple[list[Sample], int, int]:
    """(samples, series kept, series dropped): at most `limit` series, no duplicates, no undeclared metrics."""
    kept: list[Sample] = []
    declared = frozenset(metrics)
    seen: set[tuple[Metric, str]] = set()
    series = dropped = 0
    for sample in samples:
        metric, key, text, _ = sample
        if metric not in declared:
            raise TypeError(f"{metric.name} is not among the source's declared metrics")
        lines = text.count("\n")
        if key is not None:
            if (metric, key) in seen:
                dropped += lines
                continue
            seen.add((metric, key))
        if series + lines > limit:
            room = limit - series if key is None else 0  # histograms and state sets are kept or dropped as a whole
            dropped += lines - room
            if room <= 0:
                continue
            sample, lines = metric.lines("\n".join(text.split("\n", room)[:room]) + "\n"), room
        series += lines
        kept.append(sample)
    return kept, series, dropped
