"""Elements shared by dashboards: source health, alert and story annotations, state sets as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alerts.view import View
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, UP_DOWN, WARN, Limit, Link
from dashboards.grafana.panels import Annotation, Panel, stat
from dashboards.grafana.queries import RATE, Line, shown
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Expression, Matcher, Query, like, places
from exporter.scrape import state as scrape
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
"""Data age in seconds, with the color from there on."""


def coded(metric: Metric, states: Sequence[str], *by: str, label: str = "state", **matchers: str | Matcher) -> Query:
    """A state set as one series per `by`, whose value is the position of its state in `states`, from 1."""
    # The sum of two replicas' values would be a third state.
    return places([shown(metric, **matchers, **{label: state}) for state in states]).max(*by)


def worded(states: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Texts and colors for the values that `coded` returns."""
    return {str(place): word for place, word in enumerate(states.values(), 1)}


def source_health(sources: str, what: str, *, width: int = 4, height: int = 4) -> list[Panel]:
    """Two stat panels for the first row of a dashboard: state of the source, and age of its data.

    `sources` is a regular expression of source names. A disabled source has no data; it is not down.

    """
    link = Link("Exporter", View.EXPORTER)
    up = shown(scrape.UP, source=like(sources))
    return [
        stat(
            f"{what.removeprefix('the ').capitalize() if what.islower() else what} status",
            f"Whether the last collection from {what} succeeded (fleet_exporter_source_up); no data if the source is "
            "disabled.",
            Line(up.min()),
            states=UP_DOWN,
            width=width,
            height=height,
            links=[link],
            background=True,
        ),
        stat(
            "Data age",
            f"Time since the last successful collection from {what} (fleet_exporter_source_last_success_timestamp_seconds).",
            Line(shown(scrape.LAST_SUCCESS, source=like(sources)).age().max()),
            unit="s",
            limits=STALE,
            width=width,
            height=height,
            links=[link],
        ),
    ]


def alert_marks(component: str = ".+") -> Annotation:
    """Firing alerts of a component as annotations."""
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
"""Stage transitions of stories, from Prometheus alone."""
