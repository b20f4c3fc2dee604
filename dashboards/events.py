"""Dashboard "Event stream": published events, and the exporter's own event pipeline."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, graph, logs, stat, table
from dashboards.grafana.queries import NOW, RANGE, RATE, PrometheusTarget, selector, variable
from dashboards.rows import event_pipeline
from dashboards.rows.common import STORY_MARKS, alert_marks, source_health
from dashboards.rows.event_log import events
from dashboards.rows.event_pipeline import LIVE, of_families, of_streams
from dashboards.rows.nats_servers import NATS_SERVERS
from exporter.metrics.promql import Expression, Matcher, Query, Series
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import STREAM_LAG, STREAM_MODE
from exporter.sources.jetstream import consumers as nats_consumers

_OUTCOMES: Final = [
    FieldOverride("completed", color=OK),
    FieldOverride("approved", color="#a5f3fc"),
    FieldOverride("failed", color=BAD),
    FieldOverride("rejected", color="#9f1239"),
    FieldOverride("needs_human", color=WARN),
    FieldOverride("none", color=QUIET),
]
_WHAT: Final = ("family", "subject", "producer", "outcome")


def _published(**matchers: str | Matcher) -> Series:
    return selector(fleet.EVENTS, family=variable("family"), subject=variable("subject"), **matchers)


def _by(label: str) -> PrometheusTarget:
    busiest = f"topk(10, {_published().rate(RATE).sum(label).text})"
    return PrometheusTarget(Expression(busiest, frozenset({label})), f"{{{{{label}}}}}")


_failed = (_published(outcome="failed").rate(NOW).sum() | _published().rate(NOW).sum() * 0) * 60


def _worst(title: str, description: str, query: Query, limit: float, link: Link, *, color: str = WARN) -> Panel:
    return stat(
        title, description, PrometheusTarget(query), width=3, decimals=0, limits=[Threshold(limit, color)], links=[link]
    )


DASHBOARD = Dashboard(
    view=DashboardUid.EVENTS,
    title="Event stream",
    description="Which events are published now, by whom, and does the exporter read them all?",
    since="now-1h",
    variables=[
        variables.of("family", "family", "Family", "First token of the subject.", selector(fleet.EVENTS)),
        variables.of("subject", "subject", "Type", "Subjects without IDs.", of_families(fleet.EVENTS)),
        variables.of("stream", "stream", "Stream", "Streams that the exporter reads.", selector(STREAM_MODE)),
        variables.of(
            "role", "role", "Role", "Roles named in events; not all have one.", selector(fleet.COUNCIL_AGENTS), optional=True
        ),
        variables.text_box("story", "Story", "A story ID or a regular expression; .* matches all events.", ".*"),
        variables.text_box("text", "Text", "Text to search for in the events, ignoring case."),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("fleet|nats"), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                *source_health("fleet", "event streams", width=3),
                stat(
                    "Events",
                    "Events per second of the selected families and types (fleet_events_total).",
                    PrometheusTarget(_published().rate(NOW).sum()),
                    unit="eps",
                    width=3,
                    links=[LIVE],
                ),
                stat(
                    "Failed",
                    "Events per minute of the selected families and types that report a failure (fleet_events_total).",
                    PrometheusTarget(_failed),
                    unit="epm",
                    width=3,
                    base=ACCENT,
                    links=[Link("Agents", DashboardUid.AGENTS)],
                ),
                stat(
                    "Delay (p95)",
                    "p95 of the time from storage in the stream to receipt by the exporter, over 5 minutes "
                    "(fleet_event_delay_seconds).",
                    PrometheusTarget(of_families(fleet.DELAY).quantile(0.95)),
                    unit="s",
                    width=3,
                    base=ACCENT,
                    links=[Link("Exporter", DashboardUid.EXPORTER)],
                ),
                _worst(
                    "Event lag",
                    "Unread messages of the stream with the most unread messages (fleet_exporter_stream_lag_messages).",
                    of_streams(STREAM_LAG).max(),
                    thresholds.EVENTS_BEHIND,
                    Link("Exporter", DashboardUid.EXPORTER),
                ),
                _worst(
                    "Unparsed",
                    "Messages in the last 15 minutes that could not be parsed as events (fleet_events_unparsed_total).",
                    selector(fleet.UNPARSED).increase("15m").sum(),
                    thresholds.UNPARSED_MESSAGES,
                    ApiLink("Latest events", path="/api/events"),
                ),
                _worst(
                    "Max lag",
                    "Largest lag of a consumer: undelivered plus unacked messages (nats_consumer_lag).",
                    of_streams(nats_consumers.LAG).max(),
                    thresholds.CONSUMER_LAG,
                    Link("Consumers", DashboardUid.COMMUNICATIONS),
                ),
            ],
        ),
        Row(
            "Latest events",
            [
                logs(
                    "Latest events",
                    "Newest events that match the variables, from Loki: type, outcome, publisher, story, task, agent and "
                    "the start of the event. Expand a line to see all fields.",
                    events(
                        'family=~"$family", role=~"$role", stream=~"$stream"',
                        'subject=~"$subject"',
                        'story=~"$story"',
                        containing="text",
                    ),
                    width=24,
                    height=13,
                ),
            ],
        ),
        Row(
            "Published events",
            [
                table(
                    "Event types",
                    "Events by family, type, publisher and outcome: current rate, and total in the time range "
                    "(fleet_events_total).",
                    _WHAT,
                    [
                        (FieldOverride("per second", unit="eps"), PrometheusTarget(_published().rate(NOW).sum(*_WHAT))),
                        (
                            FieldOverride("in time range", decimals=0),
                            PrometheusTarget(_published().increase(RANGE).sum(*_WHAT)),
                        ),
                    ],
                    key_columns=[
                        FieldOverride("family", links=[Link("Only this family", DashboardUid.EVENTS, {"family": "family"})]),
                        FieldOverride(
                            "subject",
                            links=[
                                Link("Only this type", DashboardUid.EVENTS, {"family": "family", "subject": "subject"}),
                                Link("Consumers", DashboardUid.COMMUNICATIONS),
                            ],
                        ),
                        FieldOverride("outcome", states={"failed": ("failed", BAD), "completed": ("completed", OK)}),
                    ],
                    sort="in time range",
                    width=14,
                    height=9,
                ),
                graph(
                    "By outcome",
                    "Events per second by outcome (fleet_events_total).",
                    PrometheusTarget(_published().rate(RATE).sum("outcome"), "{{outcome}}"),
                    unit="eps",
                    stacked=True,
                    columns=_OUTCOMES,
                    width=10,
                    height=9,
                ),
                graph(
                    "By family",
                    "Events per second by family (fleet_events_total).",
                    _by("family"),
                    unit="eps",
                    links=[LIVE],
                ),
                graph("By type", "Events per second, ten busiest types (fleet_events_total).", _by("subject"), unit="eps"),
                graph(
                    "By publisher",
                    "Events per second, ten busiest publishers (fleet_events_total).",
                    _by("producer"),
                    unit="eps",
                ),
            ],
        ),
        event_pipeline.ALL_SEEN,
        NATS_SERVERS,
    ],
)
