"""Elements shared by dashboards: source health, alert and story annotations, state sets as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import ACCENT, BAD, DONE, QUIET, UNKNOWN, UP_DOWN, WARN, Link, Threshold
from dashboards.grafana.panels import Annotation, Panel, stat
from dashboards.grafana.queries import STEP, PrometheusTarget, of_exporters, raw, recent, selector
from exporter.metrics.metric import Metric
from exporter.metrics.promql import SCRAPE_LABELS, Expression, Matcher, Query, Series, like, places
from exporter.scrape import state as scrape
from exporter.sources.fleet import samples as fleet

AGENT_STATES: Mapping[str, tuple[str, str]] = {
    "idle": ("idle", QUIET),
    "deliberating": ("deliberating", ACCENT),
    "completed": ("completed", DONE),
    "failed": ("failed", BAD),
    "unknown": ("unknown", UNKNOWN),
    "unresponsive": ("unresponsive", WARN),
}


EXPORTER_UP: Query = of_exporters(Series('up{job=~"$job", instance=~"$instance"}', SCRAPE_LABELS).max_over("1m"))
"""Whether Prometheus scraped each exporter in the last minute: one missed scrape is not an outage."""

STALE: Sequence[Threshold] = (Threshold(60, WARN), Threshold(300, BAD))
"""Data age in seconds, with the color from there on."""


def coded(metric: Metric, states: Sequence[str], *by: str, label: str = "state", **matchers: str | Matcher) -> Query:
    """A state set as one series per `by`, whose value is the position of its state in `states`, from 1."""
    # The sum of two replicas' values would be a third state.
    return places([selector(metric, **matchers, **{label: state}) for state in states]).max(*by)


def worded(states: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Texts and colors for the values that `coded` returns."""
    return {str(place): word for place, word in enumerate(states.values(), 1)}


def source_health(sources: str, what: str, *, title: str = "Status", width: int = 4, height: int = 4) -> list[Panel]:
    """Two stat panels for the first row of a dashboard: state of the source, and age of its data.

    `sources` is a regular expression of source names. A disabled source has no data; it is not down.

    """
    link = Link("Exporter", DashboardUid.EXPORTER)
    up = selector(scrape.UP, source=like(sources))
    return [
        stat(
            title,
            f"Whether the last collection from {what} succeeded (fleet_exporter_source_up); no data if the source is "
            "disabled.",
            PrometheusTarget(recent(up).min()),
            states=UP_DOWN,
            width=width,
            height=height,
            links=[link],
            background=True,
        ),
        stat(
            "Data age",
            f"Time since the last successful collection from {what} (fleet_exporter_source_last_success_timestamp_seconds).",
            PrometheusTarget(recent(selector(scrape.LAST_SUCCESS, source=like(sources))).age().max().clamp_min(0)),
            unit="s",
            limits=STALE,
            width=width,
            height=height,
            links=[link],
        ),
    ]


def alert_marks(component: str = ".+") -> Annotation:
    """The moments at which firing alerts of a component began; of all components, off until a reader wants them."""
    of = f'product="fleet-exporter", component=~"{component}", severity!="none"'
    text = f'ALERTS_FOR_STATE{{{of}}} * 1000 and ignoring (alertstate) ALERTS{{alertstate="firing", {of}}}'
    return Annotation(
        "Alerts",
        PrometheusTarget(Expression(text, frozenset({"alertname", "component", "severity"}))),
        BAD,
        title="{{alertname}}",
        text="{{severity}} of {{component}}",
        shown=component != ".+",
        moments=True,
    )


_moves = selector(fleet.STORIES.moves)
_moved = _moves.increase(STEP).sum("from_stage", "to_stage") > 0
_moved_before = raw(
    f"sum by (from_stage, to_stage) (increase({_moves.text}[{STEP}] offset {STEP})) > 0", "from_stage", "to_stage"
)


STORY_MARKS = Annotation(
    "Stories",
    PrometheusTarget(raw(f"({_moved}) unless ({_moved_before})", "from_stage", "to_stage")),
    ACCENT,
    title="{{from_stage}} → {{to_stage}}",
    shown=False,
)
"""First of several adjacent stage transitions of stories, from Prometheus alone."""
