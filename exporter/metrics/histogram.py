"""Histograms that persist between scrapes, from single observations or added counts. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TypeVar

from exporter.metrics.metric import Exemplar, Labels, Metric, Sample

K = TypeVar("K")


class Histogram:
    """Counts per bucket, sum, and the latest exemplar per bucket.

    `bounds` are upper bounds in ascending order, without +Inf.

    """

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_with(self, value: float, at: float, **ids: str | None) -> None:
        """Like `observe`, with an exemplar of the non-empty IDs; at most one new exemplar per bucket and second."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        last = self.exemplars[bucket]
        if last is None or not last.at <= at < last.at + 1.0:
            pairs = tuple([(name, text) for name, text in ids.items() if text])
            if pairs:
                self.exemplars[bucket] = Exemplar(pairs, value, at)

    def copy(self) -> Histogram:
        """An independent copy."""
        other = Histogram(self.bounds)
        other.counts, other.total, other.exemplars = list(self.counts), self.total, list(self.exemplars)
        return other

    def clear(self) -> None:
        self.counts = [0] * len(self.counts)
        self.total = 0.0
        self.exemplars = [None] * len(self.exemplars)

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[float, float]]:
        """(upper bound, cumulative count) pairs; the last bound is +Inf."""
        reached, found = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found

    def sample(self, metric: Metric, owner: Labels) -> Sample:
        """The histogram of one label set."""
        return metric.histogram(owner, self.cumulative(), self.total, self.exemplars)


def copied(histograms: Mapping[K, Histogram]) -> dict[K, Histogram]:
    """A copy of all histograms."""
    return {key: one.copy() for key, one in histograms.items()}
