"""What a panel asks: queries kept to the job and the instances that the dashboard shows, and their legends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alerts.rule import Recording
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Expression, Matcher, Query, QueryError, Series, like, series

RATE = "$__rate_interval"
"""The window of every rate that is drawn over time: Grafana makes it four scrapes at least."""
RANGE = "$__range"
"""The window of a figure for the whole time shown."""

_NAMED = re.compile(r"{{\s*(\w+)\s*}}")


def shown(metric: Metric, **matchers: str | Matcher) -> Series:
    """A metric's series of the exporters that the dashboard's variables `job` and `instance` name."""
    return series(metric, **matchers, job=like("$job"), instance=like("$instance"))


def kept(recording: Recording, **matchers: str | Matcher) -> Series:
    """A recorded series of the jobs that the dashboard's variable `job` names; it belongs to no instance."""
    return recording.series.where(**matchers, job=like("$job"))


def chosen(variable: str) -> Matcher:
    """A label's value is one of those chosen for a variable of the dashboard."""
    return like(f"${variable}")


@dataclass(frozen=True)
class Line:
    """One query of a panel. `legend` names its series by their labels (`{{consumer}}`); refused if they lack them."""

    query: Query
    legend: str = ""
    exemplar: bool = False

    def __post_init__(self) -> None:
        for label in _NAMED.findall(self.legend):
            if label not in self.query.labels:
                raise QueryError(f"the legend {self.legend!r} names {label}, which {self.query.text} does not have")


@dataclass(frozen=True)
class Logs:
    """LogQL for a panel that needs Loki; such panels are left out where there is none. `legend` names a metric's series."""

    text: str
    legend: str = ""


def raw(text: str, *labels: str) -> Query:
    """PromQL that `exporter.promql` has no words for, and the labels that its series have."""
    return Expression(text, frozenset(labels), atomic=False)


def labelled(query: Query, label: str, value: str, source: str = "", pattern: str = "") -> Query:
    """The query with one label more. `value` may hold `$1` of what `pattern` finds in the label `source` as a whole.

    Series whose `source` does not match get no such label; without a source every series gets the value.
    """
    if source and source not in query.labels:
        raise QueryError(f"{query.text} has no label {source} to make {label} of")
    told = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return Expression(f'label_replace({query.text}, "{label}", "{value}", "{source}", "{told}")', query.labels | {label})
