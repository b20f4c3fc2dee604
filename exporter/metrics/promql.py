"""PromQL written against Metrics: a label that a metric does not have, or the `rate()` of a gauge, fails here and not later.

Used where dashboards, rules and their reference are generated; opens no socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exporter.metrics.metric import Kind, Metric, number

SCRAPE_LABELS = frozenset({"instance", "job"})
"""Labels that every series gets when it is scraped."""

REPLICA_LABELS = ("instance", "pod")
"""Labels that say which exporter told a series, and nothing of what it is about: another pod, another value."""

_DURATION = re.compile(r"(\d+(ms|s|m|h|d|w|y))+|\$__\w+")


class QueryError(TypeError):
    """One sentence: what in a query does not fit its metric."""


@dataclass(frozen=True)
class Matcher:
    """How a label's value is compared: `=`, `!=`, `=~` or `!~`."""

    operator: str
    value: str


def is_not(value: str) -> Matcher:
    return Matcher("!=", value)


def like(pattern: str) -> Matcher:
    """The value matches a regular expression, as a whole."""
    return Matcher("=~", pattern)


def unlike(pattern: str) -> Matcher:
    return Matcher("!~", pattern)


@dataclass(frozen=True)
class Query:
    """An instant vector: its text, and the labels that its series may have."""

    text: str
    labels: frozenset[str]
    atomic: bool = True
    """Whether it can stand in a larger query without parentheses."""

    def __str__(self) -> str:
        return self.text

    @property
    def _inner(self) -> str:
        return self.text if self.atomic else f"({self.text})"

    def by(self, aggregation: str, *labels: str) -> Query:
        """`sum by (…)`, `max by (…)` and their like; without labels one series is left."""
        _known(labels, self.labels, self.text)
        grouping = f" by ({', '.join(labels)})" if labels else ""
        return Expression(f"{aggregation}{grouping} ({self.text})", frozenset(labels))

    def sum(self, *labels: str) -> Query:
        return self.by("sum", *labels)

    def max(self, *labels: str) -> Query:
        return self.by("max", *labels)

    def min(self, *labels: str) -> Query:
        return self.by("min", *labels)

    def count(self, *labels: str) -> Query:
        return self.by("count", *labels)

    def without(self, aggregation: str, *labels: str) -> Query:
        """`sum without (…)` and its like: drops these labels and those of the exporter's replica, and keeps all others.

        What a site adds to its targets (cluster, namespace, …) stays, so two fleets are never taken for one.
        """
        _known((label for label in labels if label not in REPLICA_LABELS), self.labels, self.text)
        dropped = tuple(dict.fromkeys((*REPLICA_LABELS, *labels)))
        return Expression(f"{aggregation} without ({', '.join(dropped)}) ({self.text})", self.labels.difference(dropped))

    def histogram_quantile(self, share: float) -> Query:
        """The quantile of a query that still has the label `le`."""
        if "le" not in self.labels:
            raise QueryError(f"{self.text} has no label le, so it has no quantiles")
        return Expression(f"histogram_quantile({number(share)}, {self.text})", self.labels - {"le"})

    def age(self) -> Query:
        """Seconds since a timestamp."""
        return Expression(f"time() - {self._inner}", self.labels, atomic=False)

    def clamp_min(self, least: float) -> Query:
        return Expression(f"clamp_min({self.text}, {number(least)})", self.labels)

    def share_of(self, whole: Query) -> Query:
        """A ratio that has no series, and not NaN, where the whole is 0."""
        return self / (whole > 0)

    def highest(self, count: int) -> Query:
        """The series with the highest values; over time, those that are among them at some moment."""
        return Expression(f"topk({count}, {self.text})", self.labels)

    def equals(self, value: float | Query) -> Query:
        """Only the series that have this value."""
        return self._with("==", value)

    def __gt__(self, value: float | Query) -> Query:
        return self._with(">", value)

    def __ge__(self, value: float | Query) -> Query:
        return self._with(">=", value)

    def __lt__(self, value: float | Query) -> Query:
        return self._with("<", value)

    def __add__(self, other: float | Query) -> Query:
        return self._with("+", other)

    def __sub__(self, other: float | Query) -> Query:
        return self._with("-", other)

    def __mul__(self, other: float | Query) -> Query:
        return self._with("*", other)

    def __truediv__(self, other: float | Query) -> Query:
        return self._with("/", other)

    def __and__(self, other: Query) -> Query:
        """Series of this one for which the other has one with the same labels."""
        return self._with("and", other)

    def __or__(self, other: Query) -> Query:
        """Series of this one, and those of the other whose labels no series of this one has."""
        return Expression(f"{self._inner} or {other._inner}", self.labels | other.labels, atomic=False)

    def unless(self, other: Query, *, ignoring: tuple[str, ...] = ()) -> Query:
        """Series of this one for which the other has none with the same labels, some left aside."""
        _known(set(ignoring).difference(REPLICA_LABELS), self.labels | other.labels, f"{self.text} unless {other.text}")
        aside = f" ignoring ({', '.join(ignoring)})" if ignoring else ""
        return Expression(f"{self._inner} unless{aside} {other._inner}", self.labels, atomic=False)

    def only_with(self, other: Query, *labels: str) -> Query:
        """Series of this one for which the other has one with the same of these labels."""
        _known(labels, self.labels & other.labels, f"{self.text} and {other.text}")
        return Expression(f"{self._inner} and on ({', '.join(labels)}) {other._inner}", self.labels, atomic=False)

    def matching(self, operator: str, other: Query, *labels: str) -> Query:
        """An operation on pairs that have only these labels in common, many of this query to one of the other."""
        _known(labels, self.labels & other.labels, f"{self.text} {operator} {other.text}")
        text = f"{self._inner} {operator} on ({', '.join(labels)}) group_left () {other._inner}"
        return Expression(text, self.labels, atomic=False)

    def _with(self, operator: str, other: float | Query) -> Query:
        right = other._inner if isinstance(other, Query) else number(other)
        return Expression(f"{self._inner} {operator} {right}", self.labels, atomic=False)


@dataclass(frozen=True)
class Expression(Query):
    """A query of several parts.

    It is no Series and no Series is one: of `a < b` Python asks `b > a` where b's class is derived from a's, which would
    be the same series with the wrong values.
    """


@dataclass(frozen=True)
class Series(Query):
    """The series of one metric that some matchers leave."""

    name: str = ""
    selector: str = ""
    kind: Kind = Kind.GAUGE

    def where(self, **matchers: str | Matcher) -> Series:
        """Only those whose labels match, in place of matchers given before. Raises QueryError for a label there is not."""
        _known(matchers, self.labels, self.name)
        parts = []
        for label, matcher in matchers.items():
            told = matcher if isinstance(matcher, Matcher) else Matcher("=", matcher)
            value = told.value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{label}{told.operator}"{value}"')
        selector = f"{{{', '.join(parts)}}}" if parts else ""
        return Series(f"{self.name}{selector}", self.labels, name=self.name, selector=selector, kind=self.kind)

    def rate(self, window: str = "5m") -> Query:
        """Increase a second. Raises QueryError for a gauge."""
        return self._over("rate", window, Kind.COUNTER)

    def increase(self, window: str = "5m") -> Query:
        return self._over("increase", window, Kind.COUNTER)

    def delta(self, window: str = "5m") -> Query:
        """Change of a gauge. Raises QueryError for a counter."""
        return self._over("delta", window, Kind.GAUGE)

    def max_over(self, window: str) -> Query:
        return self._over("max_over_time", window, Kind.GAUGE)

    def min_over(self, window: str) -> Query:
        return self._over("min_over_time", window, Kind.GAUGE)

    def changes(self, window: str) -> Query:
        """How often a gauge changed its value."""
        return self._over("changes", window, Kind.GAUGE)

    def slope(self, window: str) -> Query:
        """Change of a gauge a second, by a straight line through its values."""
        return self._over("deriv", window, Kind.GAUGE)

    def absent(self, window: str) -> Query:
        """One series of 1 where there was none of these for so long; it has no label."""
        return Expression(f"absent_over_time({self.text}[{_window(window)}])", frozenset())

    def grown(self, window: str) -> Query:
        """Where a counter has risen: one that was born in the window with a value counts, which `increase` does not see."""
        born = f"({self.text} > 0 unless {self.text} offset {_window(window)})"
        return Expression(f"{self.increase(window).text} > 0 or {born}", self.labels, atomic=False)

    def quantile(self, share: float, *labels: str, window: str = "5m") -> Query:
        """A histogram's quantile by some labels. Raises QueryError for what is no histogram."""
        self._is(Kind.HISTOGRAM, "a quantile")
        _known(labels, self.labels, self.text)
        grouping = ", ".join(("le", *labels))
        rate = f"rate({self.name}_bucket{self.selector}[{_window(window)}])"
        return Expression(f"histogram_quantile({number(share)}, sum by ({grouping}) ({rate}))", frozenset(labels))

    def bucket_rate(self, window: str) -> Query:
        """All buckets of a histogram, each as increase a second under its own `le`."""
        told = self.part("_bucket").rate(window)
        return replace(told, labels=told.labels | {"le"})

    def bucket(self, bound: float) -> Series:
        """A histogram's count of what was at most `bound`, which must be one of its buckets'."""
        told = self.part("_bucket")
        selector = f'{{{f"{self.selector[1:-1]}, " if self.selector else ""}le="{number(float(bound))}"}}'
        return replace(told, text=f"{told.name}{selector}", labels=self.labels | {"le"}, selector=selector)

    def part(self, suffix: str) -> Series:
        """A histogram's `_count` or `_sum`, which are counters."""
        self._is(Kind.HISTOGRAM, f"a {suffix}")
        name = f"{self.name}{suffix}"
        return Series(f"{name}{self.selector}", self.labels, name=name, selector=self.selector, kind=Kind.COUNTER)

    def _is(self, kind: Kind, what: str) -> None:
        if self.kind is not kind:
            raise QueryError(f"{self.name} is a {self.kind}; {what} is taken of a {kind}")

    def _over(self, function: str, window: str, kind: Kind) -> Query:
        self._is(kind, f"{function}()")
        return Expression(f"{function}({self.text}[{_window(window)}])", self.labels)


def series(metric: Metric, **matchers: str | Matcher) -> Series:
    """A metric's series; `**matchers` by label. Raises QueryError for a label that the metric does not have."""
    known = frozenset(metric.labels) | SCRAPE_LABELS
    return Series(metric.name, known, name=metric.name, kind=metric.kind).where(**matchers)


def places(states: Sequence[Query]) -> Query:
    """Where each query gives 1 for the things in one state and 0 for others: 1 for things in the first, 2 in the second, …

    A thing has a series for each state, all 0 but one; the highest is the place of the state it is in.
    """
    text = " or ".join((state * place).text for place, state in enumerate(states, 1))
    return Expression(text, frozenset.union(*(state.labels for state in states)), atomic=False)


def _known(labels: Iterable[str], known: frozenset[str], where: str) -> None:
    for label in labels:
        if label not in known:
            raise QueryError(f"{where} has no label {label}; it has {', '.join(sorted(known))}")


def _window(window: str) -> str:
    if not _DURATION.fullmatch(window):
        raise QueryError(f"{window!r} is no duration (5m) and no variable of Grafana's ($__rate_interval)")
    return window
