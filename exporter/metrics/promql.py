"""Typed PromQL: an unknown label or the `rate()` of a gauge fails when the query is built.

Used to generate dashboards, rules and their reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exporter.metrics.metric import Kind, Metric, number

SCRAPE_LABELS = frozenset({"instance", "job"})
"""Labels that Prometheus adds to every series at scrape time."""

REPLICA_LABELS = ("instance", "pod")
"""Labels of the exporter's replica, which change with the pod."""

_DURATION = re.compile(r"(\d+(ms|s|m|h|d|w|y))+|\$__\w+")


class QueryError(TypeError):
    """A query does not match its metric; the message is one sentence."""


@dataclass(frozen=True)
class Matcher:
    """A label matcher: `=`, `!=`, `=~` or `!~`."""

    operator: str
    value: str


def is_not(value: str) -> Matcher:
    return Matcher("!=", value)


def like(pattern: str) -> Matcher:
    """Matches an anchored regular expression."""
    return Matcher("=~", pattern)


def unlike(pattern: str) -> Matcher:
    return Matcher("!~", pattern)


@dataclass(frozen=True)
class Query:
    """An instant vector: its text, and the labels of its series."""

    text: str
    labels: frozenset[str]
    atomic: bool = True
    """Whether it needs no parentheses in a larger query."""

    def __str__(self) -> str:
        return self.text

    @property
    def _inner(self) -> str:
        return self.text if self.atomic else f"({self.text})"

    def by(self, aggregation: str, *labels: str) -> Query:
        """`sum by (…)`, `max by (…)` and similar; one series without labels."""
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
        """`sum without (…)` and similar: drops these labels and REPLICA_LABELS, keeps all others.

        External target labels (cluster, namespace, …) are kept, so that fleets stay separate.

        """
        _known((label for label in labels if label not in REPLICA_LABELS), self.labels, self.text)
        dropped = tuple(dict.fromkeys((*REPLICA_LABELS, *labels)))
        return Expression(f"{aggregation} without ({', '.join(dropped)}) ({self.text})", self.labels.difference(dropped))

    def histogram_quantile(self, share: float) -> Query:
        """The quantile of a query with the label `le`."""
        if "le" not in self.labels:
            raise QueryError(f"{self.text}: expected the label le for a quantile")
        return Expression(f"histogram_quantile({number(share)}, {self.text})", self.labels - {"le"})

    def age(self) -> Query:
        """Seconds since a timestamp."""
        return Expression(f"time() - {self._inner}", self.labels, atomic=False)

    def clamp_min(self, least: float) -> Query:
        return Expression(f"clamp_min({self.text}, {number(least)})", self.labels)

    def share_of(self, whole: Query) -> Query:
        """A ratio without a series, instead of NaN, if the denominator is 0."""
        return self / (whole > 0)

    def highest(self, count: int) -> Query:
        """The series with the highest values at each point in time."""
        return Expression(f"topk({count}, {self.text})", self.labels)

    def equals(self, value: float | Query) -> Query:
        """Only series with this value."""
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
        """Series of this query with a match in the other, on all labels."""
        return self._with("and", other)

    def __or__(self, other: Query) -> Query:
        """Series of this query, and series of the other without a match."""
        return Expression(f"{self._inner} or {other._inner}", self.labels | other.labels, atomic=False)

    def unless(self, other: Query, *, ignoring: tuple[str, ...] = ()) -> Query:
        """Series of this query without a match in the other, ignoring some labels."""
        _known(set(ignoring).difference(REPLICA_LABELS), self.labels | other.labels, f"{self.text} unless {other.text}")
        aside = f" ignoring ({', '.join(ignoring)})" if ignoring else ""
        return Expression(f"{self._inner} unless{aside} {other._inner}", self.labels, atomic=False)

    def only_with(self, other: Query, *labels: str) -> Query:
        """Series of this query with a match in the other, on these labels."""
        _known(labels, self.labels & other.labels, f"{self.text} and {other.text}")
        return Expression(f"{self._inner} and on ({', '.join(labels)}) {other._inner}", self.labels, atomic=False)

    def matching(self, operator: str, other: Query, *labels: str) -> Query:
        """A many-to-one operation matched on these labels."""
        _known(labels, self.labels & other.labels, f"{self.text} {operator} {other.text}")
        text = f"{self._inner} {operator} on ({', '.join(labels)}) group_left () {other._inner}"
        return Expression(text, self.labels, atomic=False)

    def _with(self, operator: str, other: float | Query) -> Query:
        right = other._inner if isinstance(other, Query) else number(other)
        return Expression(f"{self._inner} {operator} {right}", self.labels, atomic=False)


@dataclass(frozen=True)
class Expression(Query):
    """A query of several parts.

    Series is not a subclass: Python evaluates `a < b` as `b > a` if the class of b is a subclass, which would return the
    other side's values.

    """


@dataclass(frozen=True)
class Series(Query):
    """The series of one metric, filtered by matchers."""

    name: str = ""
    selector: str = ""
    kind: Kind = Kind.GAUGE

    def where(self, **matchers: str | Matcher) -> Series:
        """Replaces matchers of the same labels. Raises QueryError for unknown labels."""
        _known(matchers, self.labels, self.name)
        parts = []
        for label, matcher in matchers.items():
            compared = matcher if isinstance(matcher, Matcher) else Matcher("=", matcher)
            value = compared.value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{label}{compared.operator}"{value}"')
        selector = f"{{{', '.join(parts)}}}" if parts else ""
        return Series(f"{self.name}{selector}", self.labels, name=self.name, selector=selector, kind=self.kind)

    def rate(self, window: str = "5m") -> Query:
        """Increase per second. Raises QueryError for a gauge."""
        return self._over("rate", window, Kind.COUNTER)

    def increase(self, window: str = "5m") -> Query:
        return self._over("increase", window, Kind.COUNTER)

    def delta(self, window: str = "5m") -> Query:
        """Change of a gauge. Raises QueryError for a counter."""
        return self._over("delta", window, Kind.GAUGE)

    def max_over(self, window: str) -> Query:
        return self._over("max_over_time", window, Kind.GAUGE)

    def last_over(self, window: str) -> Query:
        """The newest value of a gauge in the window, also after a missed scrape."""
        return self._over("last_over_time", window, Kind.GAUGE)

    def min_over(self, window: str) -> Query:
        return self._over("min_over_time", window, Kind.GAUGE)

    def changes(self, window: str) -> Query:
        """Number of value changes of a gauge."""
        return self._over("changes", window, Kind.GAUGE)

    def slope(self, window: str) -> Query:
        """Change of a gauge per second, by linear regression."""
        return self._over("deriv", window, Kind.GAUGE)

    def absent(self, window: str) -> Query:
        """One series of 1, without these labels, if no series existed for the window."""
        return Expression(f"absent_over_time({self.text}[{_window(window)}])", frozenset())

    def grown(self, window: str) -> Query:
        """Series of a counter that increased, including series that started in the window, which `increase` ignores."""
        born = f"({self.text} > 0 unless {self.text} offset {_window(window)})"
        return Expression(f"{self.increase(window).text} > 0 or {born}", self.labels, atomic=False)

    def quantile(self, share: float, *labels: str, window: str = "5m") -> Query:
        """A histogram's quantile by labels. Raises QueryError for other metrics."""
        self._is(Kind.HISTOGRAM, "a quantile")
        _known(labels, self.labels, self.text)
        grouping = ", ".join(("le", *labels))
        rate = f"rate({self.name}_bucket{self.selector}[{_window(window)}])"
        return Expression(f"histogram_quantile({number(share)}, sum by ({grouping}) ({rate}))", frozenset(labels))

    def bucket_rate(self, window: str) -> Query:
        """All buckets of a histogram as rates, by `le`."""
        buckets = self.part("_bucket").rate(window)
        return replace(buckets, labels=buckets.labels | {"le"})

    def bucket(self, bound: float) -> Series:
        """The bucket counter with upper bound `bound`, which must be a bound of the histogram."""
        buckets = self.part("_bucket")
        selector = f'{{{f"{self.selector[1:-1]}, " if self.selector else ""}le="{number(float(bound))}"}}'
        return replace(buckets, text=f"{buckets.name}{selector}", labels=self.labels | {"le"}, selector=selector)

    def part(self, suffix: str) -> Series:
        """A histogram's `_count` or `_sum` counter."""
        self._is(Kind.HISTOGRAM, f"a {suffix}")
        name = f"{self.name}{suffix}"
        return Series(f"{name}{self.selector}", self.labels, name=name, selector=self.selector, kind=Kind.COUNTER)

    def _is(self, kind: Kind, what: str) -> None:
        if self.kind is not kind:
            raise QueryError(f"{self.name}: expected a {kind} for {what}, got a {self.kind}")

    def _over(self, function: str, window: str, kind: Kind) -> Query:
        self._is(kind, f"{function}()")
        return Expression(f"{function}({self.text}[{_window(window)}])", self.labels)


def series(metric: Metric, **matchers: str | Matcher) -> Series:
    """A metric's series; `**matchers` by label. Raises QueryError for unknown labels."""
    known = frozenset(metric.labels) | SCRAPE_LABELS
    return Series(metric.name, known, name=metric.name, kind=metric.kind).where(**matchers)


def places(states: Sequence[Query]) -> Query:
    """State numbers: 1 for objects in the first state, 2 for the second, and so on.

    Each object has one series per state, all 0 except one; the maximum is the number of its state.

    """
    text = " or ".join((state * place).text for place, state in enumerate(states, 1))
    return Expression(text, frozenset.union(*(state.labels for state in states)), atomic=False)


def _known(labels: Iterable[str], known: frozenset[str], where: str) -> None:
    for label in labels:
        if label not in known:
            raise QueryError(f"{where}: expected one of the labels {', '.join(sorted(known))}, got {label}")


def _window(window: str) -> str:
    if not _DURATION.fullmatch(window):
        raise QueryError(f"expected a duration such as 5m or a Grafana variable such as $__rate_interval, got {window!r}")
    return window
