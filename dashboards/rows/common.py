"""What several dashboards show in the same way: whether their source can be read, alerts as marks, states as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alerts.view import View
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, UP_DOWN, WARN, Limit, Link
from dashboards.grafana.panels import Annotation, Panel, stat
from dashboards.grafana.queries import RATE, Line, shown
from exporter import scrape
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Expression, Matcher, Query, like, places
from exporter.sources.fleet import samples as fleet

AGENT_STATES: Mapping[str, tuple[str, str]] = {
    "idle": ("idle", QUIET),
    "deliberating": ("deliberating", ACCENT),
    "completed": ("completed", OK),
    "failed": ("failed", BAD),
    "unknown": ("unknown", "#a855f7"),
    "unresponsive": ("unresponsive", WARN),
}


STALE: Sequence[Limit] = (Limit(60, WARN), Limit(300, BAD))
"""Seconds since a reading, from which what is shown is old."""


def coded(metric: Metric, states: Sequence[str], *by: str, label: str = "state", **matchers: str | Matcher) -> Query:
    """A state set as one series for each `by`, whose value is the place of its state in `states`, from 1."""
    # A sum of two replicas' codes would be a third state.
    return places([shown(metric, **matchers, **{label: state}) for state in states]).max(*by)


def worded(states: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Words and colours for the values that `coded` gives."""
    return {str(place): word for place, word in enumerate(states.values(), 1)}


def source_health(sources: str, what: str, *, width: int = 4, height: int = 4) -> list[Panel]:
    """Two figures for the head of a dashboard: whether its source can be read, and how old what is shown is.

    `sources` is a regular expression over the names of sources. A source that is off is "not watched", not down.
    """
    link = Link("Why", View.EXPORTER)
    up = shown(scrape.UP, source=like(sources))
    return [
        stat(
            f"{what} can be read",
            f"Whether the last reading of {what} succeeded (fleet_exporter_source_up); no data where it is not watched.",
            Line(up.min()),
            states=UP_DOWN,
            width=width,
            height=height,
            links=[link],
            background=True,
        ),
        stat(
            "Age of what is shown",
            f"Time since the last reading of {what} that succeeded (fleet_exporter_source_last_success_timestamp_seconds).",
            Line(shown(scrape.LAST_SUCCESS, source=like(sources)).age().max()),
            unit="s",
            limits=STALE,
            width=width,
            height=height,
            links=[link],
        ),
    ]


def alert_marks(component: str = ".+") -> Annotation:
    """Where alerts of a component fired."""
    text = f'ALERTS{{alertstate="firing", product="fleet-exporter", component=~"{component}", severity!="none"}}'
    return Annotation(
        "Alerts",
        Line(Expression(text, frozenset({"alertname", "component", "severity"}))),
        BAD,
        title="{{alertname}}",
        text="{{severity}} of {{component}}",
    )


STORY_MARKS = Annotation(
    "Stories",
    Line(shown(fleet.STORIES.moves).increase(RATE).sum("from_stage", "to_stage") > 0),
    ACCENT,
    title="{{from_stage}} → {{to_stage}}",
    shown=False,
)
"""Where a story went from one stage to another, by Prometheus alone."""
