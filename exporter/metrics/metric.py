"""A Metric is declared once; calling it with a value and labels returns a Sample.

A Sample is rendered text, so a page is made by joining. Both exposition formats share the sample lines; only their
headers differ (`exposition.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

OTHER: Final = "other"
"""Label value for unknown values and values over a limit."""


class Kind(StrEnum):
    """Metric types. State sets and infos are gauges of 0 and 1, valid in both formats."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Unit(StrEnum):
    """Base units; a metric's name ends with its unit."""

    NONE = ""
    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"
    TIMESTAMP = "timestamp_seconds"
    CORES = "cores"


_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
_FOREIGN_UNIT = re.compile(
    r"_(ms|milliseconds|usec|microseconds|ns|nanoseconds|minutes|hours|kb|mb|kib|mib|percent|perc|pct)(_|$)"
)
_RESERVED = frozenset({"le", "quantile", "instance", "job"})
_UNSAFE = re.compile('["\\\\\n\x00]')
_ESCAPES = {ord('"'): r"\"", ord("\\"): r"\\", ord("\n"): r"\n", 0: "\ufffd"}
_BUCKET_LABEL = "le"
_LONGEST_EXEMPLAR = 128


def escaped(value: str) -> str:
    """A label value for use between quotes; NUL, which ends Prometheus' lexer, becomes U+FFFD."""
    return value.translate(_ESCAPES) if _UNSAFE.search(value) else value


def number(value: float) -> str:
    """A sample value with all digits (`repr`), and the spellings of NaN and infinity in both formats."""
    if isinstance(value, int):
        return str(int(value))
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")


class Labels(NamedTuple):
    """A rendered label set, shared by all metrics with these labels; see `labels()`."""

    names: tuple[str, ...]
    text: str

    @property
    def braced(self) -> str:
        return f"{{{self.text}}}" if self.text else ""

    def with_label(self, name: str, value: str) -> Labels:
        more = f'{name}="{escaped(value)}"'
        return Labels((*self.names, name), f"{self.text},{more}" if self.text else more)


def labels(**values: str) -> Labels:
    """Render a label set, in the order declared by the metrics."""
    return Labels(tuple(values), ",".join([f'{name}="{escaped(value)}"' for name, value in values.items()]))


class Exemplar(NamedTuple):
    """One observation with IDs that are not labels: (name, value) pairs; `at` in seconds since 1970."""

    labels: tuple[tuple[str, str], ...]
    value: float
    at: float

    @property
    def text(self) -> str:
        """The OpenMetrics text after a bucket; empty if its labels exceed 128 characters."""
        if sum(len(name) + len(value) for name, value in self.labels) > _LONGEST_EXEMPLAR:
            return ""
        inner = ",".join([f'{name}="{escaped(value)}"' for name, value in self.labels])
        return f" # {{{inner}}} {number(self.value)} {self.at:.3f}"


class Sample(NamedTuple):
    """Lines of one metric: one for a gauge or counter, several for a state set, histogram or column.

    `labels` identifies the series within the metric; None for a column, whose lines are distinct by construction.

    """

    metric: Metric
    labels: str | None
    text: str
    exemplars: tuple[Exemplar | None, ...] = ()
    """One for each bucket of a histogram, or none at all; only OpenMetrics shows them."""


_sample = tuple.__new__  # the constructor of NamedTuple doubles the cost of a sample


@dataclass(frozen=True, eq=False, slots=True)
class Metric:
    """A metric family; its name is written only here.

    Declaration fails if the name violates Prometheus' conventions; making a sample fails if its labels are not exactly the
    declared ones. `states` makes it a state set: one series per state under the last label.

    """

    name: str
    help: str
    kind: Kind
    unit: Unit
    labels: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets without +Inf; empty if the backend determines them."""
    _line: str = field(init=False, repr=False)
    _quotes: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r}: expected a metric name of lower-case words joined by underscores")
        if (self.kind is Kind.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: expected the suffix _total for counters, and only for counters")
        stem = self.name.removesuffix("_total").removesuffix("_info")
        if self.unit and not stem.endswith(f"_{self.unit}"):
            raise ValueError(f"{self.name}: expected a name that ends with its unit {self.unit}")
        for unit in Unit:
            if unit and not self.unit and stem.endswith(f"_{unit}"):
                raise ValueError(f"{self.name}: expected the unit {unit}, as in its name")
        if _FOREIGN_UNIT.search(self.name):
            raise ValueError(f"{self.name}: expected a base unit (seconds, bytes, ratio)")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in _RESERVED or label.startswith("__"):
                raise ValueError(f"{self.name}: expected a valid label that is not reserved, got {label!r}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"{self.name}: expected distinct labels")
        if not re.fullmatch(r"[A-Z0-9].*\.", self.help, re.DOTALL) or "\n" in self.help:
            raise ValueError(
                f"{self.name}: expected help of one line that starts with a capital letter and ends with a period"
            )
        if self.states and self.kind is not Kind.GAUGE:
            raise ValueError(f"{self.name}: expected a gauge for a state set")
        pattern = ",".join(f'{label}="%({label})s"' for label in self.labels)
        object.__setattr__(self, "_line", f"{{{pattern}}}" if pattern else "")
        object.__setattr__(self, "_quotes", 2 * len(self.labels))

    def __call__(self, value: float, /, **values: str) -> Sample:
        """One sample. Raises TypeError if the labels are not exactly the declared ones, in any order."""
        if len(values) != len(self.labels):
            raise self._wrong(values)
        try:
            braced = self._line % values
        except KeyError:
            raise self._wrong(values) from None
        # Values that need escaping change the number of quotes, or contain one of the other characters.
        if braced.count('"') != self._quotes or "\\" in braced or "\n" in braced or "\0" in braced:
            braced = self._line % {name: escaped(text) for name, text in values.items()}
        kind = type(value)
        if kind is int or (kind is float and value - value == 0.0):  # finite: inlined `number`
            return _sample(Sample, (self, braced, f"{self.name}{braced} {value!r}\n", ()))
        return _sample(Sample, (self, braced, f"{self.name}{braced} {number(value)}\n", ()))

    def at(self, labels: Labels, value: float) -> Sample:
        """One sample for a rendered label set."""
        if labels.names != self.labels:
            raise self._wrong(labels.names)
        braced = labels.braced
        return Sample(self, braced, f"{self.name}{braced} {number(value)}\n")

    def column(self, rows: Iterable[tuple[Labels, float]]) -> Sample:
        """Many samples at once, for sources with thousands of objects; the caller guarantees distinct label sets."""
        name, names = self.name, self.labels
        lines = []
        for labels, value in rows:
            if labels.names != names:
                raise self._wrong(labels.names)
            lines.append(f"{name}{{{labels.text}}} {value if type(value) is int else number(value)}\n")
        return Sample(self, None, "".join(lines))

    def lines(self, text: str) -> Sample:
        """Lines of this metric that were rendered and stored before, joined."""
        return Sample(self, None, text)

    def state(self, current: str | None, /, **values: str) -> Sample:
        """The state set of one object, each state 0 or 1; for an undeclared state all are 0."""
        owner = labels(**values)
        if (*owner.names, *self.labels[len(owner.names) :][-1:]) != self.labels:
            raise self._wrong(values)
        return self.state_at(owner, current)

    def state_at(self, owner: Labels, current: str | None) -> Sample:
        """Like `state`, for a rendered label set."""
        if (*owner.names, self.labels[-1]) != self.labels:
            raise self._wrong(owner.names)
        head = f'{self.name}{{{owner.text}{"," if owner.text else ""}{self.labels[-1]}="'
        text = "".join([f'{head}{state}"}} {1 if state == current else 0}\n' for state in self.states])
        return Sample(self, owner.braced, text)

    def histogram(
        self,
        owner: Labels,
        buckets: Sequence[tuple[float, float]],
        total: float | None,
        exemplars: Sequence[Exemplar | None] = (),
    ) -> Sample:
        """A histogram from (upper bound, cumulative count) pairs in ascending order, the last bound +Inf, and the sum.

        `exemplars` has an item per bucket, or None. Without a sum there are only buckets, since OpenMetrics requires a sum
        next to a count.
        """
        if owner.names != self.labels:
            raise self._wrong(owner.names)
        if self.kind is not Kind.HISTOGRAM or not buckets or buckets[-1][0] != math.inf:
            raise ValueError(f"{self.name}: expected +Inf as the last bucket of a histogram")
        if self.bounds and len(buckets) != len(self.bounds) + 1:
            raise ValueError(f"{self.name}: expected the declared {len(self.bounds) + 1} buckets, got {len(buckets)}")
        head = f'{self.name}_bucket{{{owner.text}{"," if owner.text else ""}{_BUCKET_LABEL}="'
        text = "".join([f'{head}{number(float(bound))}"}} {number(count)}\n' for bound, count in buckets])
        if total is not None:
            count = number(buckets[-1][1])
            text += f"{self.name}_sum{owner.braced} {number(total)}\n{self.name}_count{owner.braced} {count}\n"
        return Sample(self, owner.braced, text, tuple(exemplars) if any(exemplars) else ())

    @property
    def help_text(self) -> str:
        """The help text, escaped for a HELP line."""
        return self.help.replace("\\", r"\\")

    def _wrong(self, given: Iterable[str] | Mapping[str, str]) -> TypeError:
        return TypeError(f"{self.name}: expected the labels {list(self.labels)}, got {list(given)}")


def gauge(name: str, help: str, *labels: str, unit: Unit = Unit.NONE) -> Metric:
    """A value that can go down."""
    return Metric(name, help, Kind.GAUGE, unit, labels)


def counter(name: str, help: str, *labels: str, unit: Unit = Unit.NONE) -> Metric:
    """A value that only increases, except for resets."""
    return Metric(name, help, Kind.COUNTER, unit, labels)


def histogram(name: str, help: str, *labels: str, unit: Unit = Unit.NONE, bounds: Sequence[float] = ()) -> Metric:
    """A distribution in cumulative buckets; `bounds` as in `Metric`."""
    return Metric(name, help, Kind.HISTOGRAM, unit, labels, bounds=tuple(bounds))


def info(name: str, help: str, *labels: str) -> Metric:
    """Text as labels of a constant 1."""
    if not name.endswith("_info"):
        raise ValueError(f"{name}: expected the suffix _info for a metric with text")
    return Metric(name, help, Kind.GAUGE, Unit.NONE, labels)


def state_set(name: str, help: str, *labels: str, states: Sequence[str], state_label: str = "state") -> Metric:
    """All states of an object as series of 0 or 1, under the label `state`."""
    return Metric(name, help, Kind.GAUGE, Unit.NONE, (*labels, state_label), tuple(states))
