"""Queries of a panel, restricted to the dashboard's jobs and instances, and their legends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alerts.rule import RecordingRule
from exporter.metrics import process
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Expression, Matcher, Query, QueryError, Series, like, series

RATE = "$__rate_interval"
"""The window of rates over time; Grafana makes it at least four scrape intervals."""
STEP = "$__interval"
"""The window of bars: it ends where the next begins, so that each increase is drawn once."""
NOW = "5m"
"""The window of current values: fixed, so that they depend neither on the time range nor on the width of the panel."""
RANGE = "$__range"
"""The window of values for the whole time range."""

_GENERIC = re.compile(r"\b(?:up|(?:process|scrape|python|go)_\w+)\{")
"""Metrics that every program has: with the variable `job` at "All", they match the whole Prometheus."""

_NAMED = re.compile(r"{{\s*(\w+)\s*}}")


def selector(metric: Metric, **matchers: str | Matcher) -> Series:
    """A metric's series from the exporters selected by the variables `job` and `instance`."""
    return series(metric, **matchers, job=like("$job"), instance=like("$instance"))


def of_exporters(query: Query) -> Query:
    """A query of metrics that every program has, for jobs with a fleet-exporter in the last day, also one that is down."""
    return query.only_with(selector(process.BUILD).max_over("1d"), "job")


def recent(series: Series) -> Query:
    """The newest value of each series in a minute: one missed scrape is not an outage."""
    return series.last_over("1m")


def recorded(recording: RecordingRule, **matchers: str | Matcher) -> Series:
    """The series of a recording rule for the jobs selected by the variable `job`; it has no instance."""
    return recording.series.where(**matchers, job=like("$job"))


def variable(variable: str) -> Matcher:
    """Matches the selected values of a dashboard variable."""
    return like(f"${variable}")


@dataclass(frozen=True)
class PrometheusTarget:
    """One Prometheus query of a panel. `legend` names its series by labels (`{{consumer}}`); missing labels raise an
    error.
    """

    query: Query
    legend: str = ""
    exemplar: bool = False

    def __post_init__(self) -> None:
        if _GENERIC.search(self.query.text) and process.BUILD.name not in self.query.text:
            raise QueryError(f"{self.query.text}: expected of_exporters(), because every program has this metric")
        for label in _NAMED.findall(self.legend):
            if label not in self.query.labels:
                raise QueryError(f"legend {self.legend!r}: expected a label of {self.query.text}, got {label}")


@dataclass(frozen=True)
class LokiTarget:
    """LogQL for a panel that needs Loki; omitted from dashboards without Loki. `legend` names the series of a metric
    query.
    """

    text: str
    legend: str = ""


def raw(text: str, *labels: str) -> Query:
    """PromQL that `exporter.metrics.promql` cannot express, with the labels of its series."""
    return Expression(text, frozenset(labels), atomic=False)


def labelled(query: Query, label: str, value: str, source: str = "", pattern: str = "") -> Query:
    """The query with one more label. `value` can refer to `$1` of the anchored `pattern` on the label `source`.

    Series whose `source` does not match do not get the label; without a source all series get the value.

    """
    if source and source not in query.labels:
        raise QueryError(f"label_replace: expected a label of {query.text}, got {source} as source of {label}")
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return Expression(f'label_replace({query.text}, "{label}", "{value}", "{source}", "{quoted}")', query.labels | {label})
