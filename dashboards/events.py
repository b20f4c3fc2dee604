"""Event stream: what happens in the fleet now, who says it, who takes it and how fast, and is all of it seen?"""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.rules import nats
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, graph, logs, stat, table
from dashboards.grafana.queries import RANGE, RATE, Line, chosen, kept, shown
from dashboards.rows import event_pipeline
from dashboards.rows.common import STORY_MARKS, alert_marks, source_health
from dashboards.rows.event_log import events
from dashboards.rows.event_pipeline import LIVE, of_families, of_streams
from exporter.fleet import delivery
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Expression, Matcher, Query, Series
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import FOLLOWED, UNREAD
from exporter.sources.jetstream import ack_estimate
from exporter.sources.jetstream import consumers as nats_consumers

_CONSUMER = Link("This consumer", View.COMMUNICATIONS, {"stream": "stream", "consumer": "consumer"})
_OUTCOMES: Final = [
    Column("completed", colour=OK), Column("approved", colour="#22d3ee"), Column("failed", colour=BAD),
    Column("rejected", colour="#fb7185"), Column("needs_human", colour=WARN), Column("none", colour=QUIET),
]  # fmt: skip
_WHAT: Final = ("family", "subject", "producer", "outcome")
_WHO: Final = ("stream", "consumer")


def _published(**matchers: str | Matcher) -> Series:
    return shown(fleet.EVENTS, family=chosen("family"), subject=chosen("subject"), **matchers)


def _by(label: str) -> Line:
    busiest = f"topk(10, {_published().rate(RATE).sum(label).text})"
    return Line(Expression(busiest, frozenset({label})), f"{{{{{label}}}}}")


def _grown(metric: Metric) -> Line:
    return Line(of_streams(metric).increase(RANGE).sum(*_WHO))


_all = _published().rate("15m").sum()
_failed = _published(outcome="failed").rate("15m").sum() | _all * 0
# No sample in the window is NaN, not a time.
_took = of_streams(delivery.ACK_SECONDS).quantile(0.95, *_WHO, window="15m") >= 0
_settings = of_streams(nats_consumers.INFO).max(*_WHO, "service", "filter")
_time_to_acknowledge = kept(nats.ACK_DURATION, stream=chosen("stream")).max(*_WHO)
_acknowledged = _took | of_streams(ack_estimate.ACK_ESTIMATE).max(*_WHO)


def _worst(title: str, description: str, query: Query, limit: float, link: Link, *, colour: str = WARN) -> Panel:
    return stat(title, description, Line(query), width=3, decimals=0, limits=[Limit(limit, colour)], links=[link])


DASHBOARD = Dashboard(
    view=View.EVENTS,
    title="Event stream",
    description="What happens in the fleet now, who says it, who takes it and how fast, and whether all of it is seen.",
    since="now-1h",
    refresh="10s",
    variables=[
        variables.of("family", "family", "Family", "First words of subjects.", shown(fleet.EVENTS)),
        variables.of("subject", "subject", "Type", "Subjects without identifiers.", of_families(fleet.EVENTS)),
        variables.of("stream", "stream", "Stream", "Streams that the exporter follows.", shown(FOLLOWED)),
        variables.of(
            "role", "role", "Role", "Roles that events name; others name none.", shown(fleet.COUNCIL_AGENTS), optional=True
        ),
        variables.text_box("story", "Story", "A story's id, or a regular expression; .* shows events of none too.", ".*"),
        variables.text_box("text", "Text", "A regular expression to look for anywhere in an event."),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("fleet|nats"), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                *source_health("fleet", "The fleet's events", width=3),
                stat(
                    "Events",
                    "Events a second of the families and types chosen (fleet_events_total).",
                    Line(_published().rate(RATE).sum()),
                    unit="ops", width=3, sparkline=True, links=[LIVE],
                ),
                stat(
                    "Failures",
                    "Share of the last 15 minutes' events that tell of a failure (fleet_events_total); no data without any.",
                    Line(_failed.share_of(_all)),
                    unit="percentunit", width=3, limits=[Limit(1 - thresholds.TASK_SUCCESS_TARGET, WARN)],
                    links=[Link("Whose", View.AGENTS)],
                ),
                stat(
                    "Seen after",
                    "95th percentile of the time from an event's storing to its being seen, in the last 5 minutes "
                    "(fleet_event_delay_seconds).",
                    Line(of_families(fleet.DELAY).quantile(0.95)),
                    unit="s", width=3, base=ACCENT, links=[Link("The exporter", View.EXPORTER)],
                ),
                _worst(
                    "Not yet read",
                    "Messages still to be read of the stream that has most of them (fleet_stream_unread_messages).",
                    of_streams(UNREAD).max(), thresholds.EVENTS_BEHIND, Link("The exporter", View.EXPORTER),
                ),
                _worst(
                    "No events",
                    "Messages of the last 15 minutes that are no events (fleet_events_unparsed_total).",
                    shown(fleet.UNPARSED).increase("15m").sum(), thresholds.UNPARSED_MESSAGES,
                    ApiLink("The last events", path="/api/events"),
                ),
                _worst(
                    "Furthest behind",
                    "Lag of the consumer that is furthest behind (nats_consumer_lag).",
                    of_streams(nats_consumers.LAG).max(), thresholds.CONSUMER_LAG, Link("Consumers", View.COMMUNICATIONS),
                ),
            ],
        ),
        Row(
            "Last events",
            [
                logs(
                    "Last events",
                    "The newest events of what is chosen above, from Loki: type, outcome, publisher, story, task, agent and "
                    "the beginning of the event; a line opened shows all that Loki holds with it.",
                    events(
                        'family=~"$family", role=~"$role", stream=~"$stream"', 'subject=~"$subject"', 'story=~"$story"',
                        containing="$text",
                    ),
                    width=24, height=13,
                ),
            ],
        ),
        Row(
            "What is published",
            [
                table(
                    "Types of events",
                    "Events by family, type, publisher and outcome: how many a second now, and how many in the time shown "
                    "(fleet_events_total).",
                    _WHAT,
                    [
                        (Column("a second", unit="ops"), Line(_published().rate("5m").sum(*_WHAT))),
                        (Column("in the time shown", decimals=0), Line(_published().increase(RANGE).sum(*_WHAT))),
                    ],
                    key_columns=[
                        Column("family", links=[Link("Only this family", View.EVENTS, {"family": "family"})]),
                        Column(
                            "subject",
                            links=[
                                Link("Only this type", View.EVENTS, {"family": "family", "subject": "subject"}),
                                Link("Who takes it", View.COMMUNICATIONS),
                            ],
                        ),
                        Column("outcome", states={"failed": ("failed", BAD), "completed": ("completed", OK)}),
                    ],
                    sort="in the time shown", width=14, height=9,
                ),
                graph(
                    "By outcome",
                    "Events a second by what they say has come of it (fleet_events_total).",
                    Line(_published().rate(RATE).sum("outcome"), "{{outcome}}"),
                    unit="ops", stacked=True, columns=_OUTCOMES, width=10, height=9,
                ),
                graph(
                    "By family", "Events a second by family (fleet_events_total).", _by("family"), unit="ops",
                    links=[LIVE],
                ),
                graph("By type", "Events a second, the ten busiest types (fleet_events_total).", _by("subject"), unit="ops"),
                graph(
                    "By publisher", "Events a second, the ten busiest publishers (fleet_events_total).", _by("producer"),
                    unit="ops",
                ),
            ],
        ),
        Row(
            "Who takes them",
            [
                table(
                    "Consumers",
                    "Each durable consumer with its service and the subjects it takes, its lag, the time it took to "
                    "acknowledge (95th percentile of 15 minutes as the server samples it, else the exporter's estimate), "
                    "and what it refused or gave up in the time shown (nats_consumer_*).",
                    _WHO,
                    [
                        (Column("known", hidden=True), Line(_settings)),
                        (
                            Column("lag", decimals=0, limits=[Limit(thresholds.CONSUMER_LAG, WARN)]),
                            Line(of_streams(nats_consumers.LAG).max(*_WHO)),
                        ),
                        (Column("oldest unacked", unit="s"), Line(of_streams(nats_consumers.OLDEST).age().max(*_WHO))),
                        (Column("last ack", unit="s"), Line(of_streams(nats_consumers.LAST_ACK).age().max(*_WHO))),
                        (Column("acknowledged in", unit="s"), Line(_acknowledged)),
                        (Column("refused", decimals=0), _grown(delivery.NAKS)),
                        (Column("given up", decimals=0, limits=[Limit(1, BAD)]), _grown(delivery.TERMINATIONS)),
                        (Column("too often", decimals=0, limits=[Limit(1, BAD)]), _grown(delivery.MAX_DELIVERIES)),
                    ],
                    labels={"service": "service", "filter": "takes"},
                    key_columns=[Column("consumer", links=[_CONSUMER])],
                    sort="lag", width=24, height=9,
                ),
                graph(
                    "Time to acknowledge",
                    "95th percentile of the time from a delivery to its acknowledgement, of the ten slowest that the server "
                    "samples (fleet:nats_consumer_ack_duration_seconds:p95_5m).",
                    Line((_time_to_acknowledge >= 0).highest(10), "{{consumer}}"),
                    unit="s", links=[_CONSUMER],
                ),
                graph(
                    "Lag",
                    "Messages not delivered or not acknowledged, of the ten consumers furthest behind (nats_consumer_lag).",
                    Line((of_streams(nats_consumers.LAG).max(*_WHO) > 0).highest(10), "{{consumer}}"),
                    unit="short", limits=[Limit(thresholds.CONSUMER_LAG, WARN)], links=[_CONSUMER],
                ),
                graph(
                    "Refused",
                    "Deliveries a second that a consumer refused, gave up, or had as often as it may (advisories).",
                    *(
                        Line(of_streams(metric).rate(RATE).sum(*_WHO) > 0, f"{{{{consumer}}}} {what}")
                        for metric, what in (
                            (delivery.NAKS, "refused"), (delivery.TERMINATIONS, "gave up"),
                            (delivery.MAX_DELIVERIES, "had too often"),
                        )
                    ),
                    unit="ops", links=[_CONSUMER],
                ),
            ],
        ),
        event_pipeline.ALL_SEEN,
    ],
)  # fmt: skip
