"""A histogram that lives on from one scrape to the next: observed one by one, or added up elsewhere. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TypeVar

from exporter.metrics.metric import Exemplar, Labels, Metric, Sample

K = TypeVar("K")


class Histogram:
    """Counts per bucket, the sum, and the last exemplar of each bucket.

    `bounds` are the buckets' upper bounds in rising order, +Inf left out.
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
        """As `observe`, with an exemplar of the ids that are there; each bucket takes a new one once a second."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        last = self.exemplars[bucket]
        if last is None or not last.at <= at < last.at + 1.0:
            told = tuple([(name, text) for name, text in ids.items() if text])
            if told:
                self.exemplars[bucket] = Exemplar(told, value, at)

    def add_cumulative(self, reached: Sequence[int], total: float) -> None:
        """Add many observations: how many were no more than each bound, and last how many there were; and their sum."""
        below = 0
        for index, count in enumerate(reached):
            self.counts[index] += count - below
            below = count
        self.total += total

    def copy(self) -> Histogram:
        """The same counts, sum and exemplars as a histogram of its own."""
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
        """(upper bound, observations up to it), the last bound +Inf."""
        reached, found = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found

    def sample(self, metric: Metric, owner: Labels) -> Sample:
        """The histogram of one label set."""
        return metric.histogram(owner, self.cumulative(), self.total, self.exemplars)


def copied(histograms: Mapping[K, Histogram]) -> dict[K, Histogram]:
    """The same histograms, by value."""
    return {key: one.copy() for key, one in histograms.items()}
