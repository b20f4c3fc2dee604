"""Event stream: what happens in the fleet now, who says it, who takes it and how fast, and is all of it seen?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alerts import thresholds
from alerts.rules import nats
from alerts.view import View
from dashboards import variables
from dashboards.common import STORY_MARKS, alert_marks, coded, source_health, worded
from dashboards.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, Column, Limit, Link
from dashboards.journal import events
from dashboards.layout import Row
from dashboards.panels import Dashboard, Panel, graph, heatmap, logs, stat, table
from dashboards.query import RANGE, RATE, Line, chosen, kept, shown
from exporter import live
from exporter.fleet import delivery, grafana_live, journal
from exporter.fleet import samples as fleet
from exporter.fleet.followed import How
from exporter.fleet.tap_samples import DROPPED, FOLLOWED, SKIPPED, UNREAD
from exporter.metric import Metric
from exporter.promql import Matcher, Query, Series
from exporter.sources.jetstream import ack_estimate
from exporter.sources.jetstream import samples as jetstream

_LIVE = ApiLink("The events as they come")
_CONSUMER = Link("This consumer", View.COMMUNICATIONS, {"stream": "stream", "consumer": "consumer"})
_OUTCOMES: Final = [
    Column("completed", colour=OK), Column("approved", colour="#22d3ee"), Column("failed", colour=BAD),
    Column("rejected", colour="#fb7185"), Column("needs_human", colour=WARN), Column("none", colour=QUIET),
]  # fmt: skip
_HOW: Final[Mapping[str, tuple[str, str]]] = {
    How.CONSUMER: ("in order", OK), How.SUBSCRIPTION: ("as it comes", ACCENT), How.REFUSED: ("refused", BAD),
}  # fmt: skip
_BEHIND: Final = [Limit(thresholds.EVENTS_BEHIND, WARN)]
_ANY: Final = [Limit(1, BAD)]
_WHAT: Final = ("family", "subject", "producer", "outcome")
_WHO: Final = ("stream", "consumer")


def _published(**matchers: str | Matcher) -> Series:
    return shown(fleet.EVENTS, family=chosen("family"), subject=chosen("subject"), **matchers)


def _by(label: str) -> Line:
    busiest = f"topk(10, {_published().rate(RATE).sum(label).text})"
    return Line(Query(busiest, frozenset({label})), f"{{{{{label}}}}}")


def _family(metric: Metric) -> Series:
    return shown(metric, family=chosen("family"))


def _stream(metric: Metric) -> Series:
    return shown(metric, stream=chosen("stream"))


def _grown(metric: Metric) -> Line:
    return Line(_stream(metric).increase(RANGE).sum(*_WHO))


_all = _published().rate("15m").sum()
_failed = _published(outcome="failed").rate("15m").sum() | _all * 0
_took = _stream(delivery.ACK_SECONDS).quantile(0.95, *_WHO, window="15m") >= 0  # no sample in the window is NaN, not a time
_settings = _stream(jetstream.CONSUMER_INFO).max(*_WHO, "service", "filter")
_time_to_acknowledge = kept(nats.TIME_TO_ACKNOWLEDGE, stream=chosen("stream")).max(*_WHO)
_acknowledged = _took | _stream(ack_estimate.ACK_ESTIMATE).max(*_WHO)


def _lost(metric: Metric) -> Line:
    return Line(_stream(metric).increase(RANGE).sum("stream"))


def _rate(metric: Metric, legend: str, *labels: str) -> Line:
    return Line(shown(metric).rate(RATE).sum(*labels), legend)


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
        variables.of("subject", "subject", "Type", "Subjects without identifiers.", _family(fleet.EVENTS)),
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
                    unit="ops", width=3, sparkline=True, links=[_LIVE],
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
                    Line(_family(fleet.DELAY).quantile(0.95)),
                    unit="s", width=3, base=ACCENT, links=[Link("The exporter", View.EXPORTER)],
                ),
                _worst(
                    "Not yet read",
                    "Messages still to be read of the stream that has most of them (fleet_stream_unread_messages).",
                    _stream(UNREAD).max(), thresholds.EVENTS_BEHIND, Link("The exporter", View.EXPORTER),
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
                    _stream(jetstream.LAG).max(), thresholds.CONSUMER_LAG, Link("Consumers", View.COMMUNICATIONS),
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
                    "By family", "Events a second by family (fleet_events_total).", _by("family"), unit="ops", links=[_LIVE]
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
                            Line(_stream(jetstream.LAG).max(*_WHO)),
                        ),
                        (Column("oldest unacknowledged", unit="s"), Line(_stream(jetstream.OLDEST).age().max(*_WHO))),
                        (Column("last acknowledgement", unit="s"), Line(_stream(jetstream.LAST_ACK).age().max(*_WHO))),
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
                    Line((_stream(jetstream.LAG).max(*_WHO) > 0).highest(10), "{{consumer}}"),
                    unit="short", limits=[Limit(thresholds.CONSUMER_LAG, WARN)], links=[_CONSUMER],
                ),
                graph(
                    "Refused",
                    "Deliveries a second that a consumer refused, gave up, or had as often as it may (advisories).",
                    *(
                        Line(_stream(metric).rate(RATE).sum(*_WHO) > 0, f"{{{{consumer}}}} {what}")
                        for metric, what in (
                            (delivery.NAKS, "refused"), (delivery.TERMINATIONS, "gave up"),
                            (delivery.MAX_DELIVERIES, "had too often"),
                        )
                    ),
                    unit="ops", links=[_CONSUMER],
                ),
            ],
        ),
        Row(
            "Whether all is seen",
            [
                table(
                    "Streams",
                    "How the exporter reads each stream, and what it has still to read or to copy to Loki; in the time "
                    "shown, what was deleted before that, and what Loki refused (fleet_stream_*, fleet_journal_*).",
                    ["stream"],
                    [
                        (
                            Column("read", states=worded(_HOW)),
                            Line(coded(FOLLOWED, tuple(_HOW), "stream", label="how", stream=chosen("stream"))),
                        ),
                        (Column("to be read", decimals=0, limits=_BEHIND), Line(_stream(UNREAD).max("stream"))),
                        (Column("deleted unread", decimals=0, limits=_ANY), _lost(SKIPPED)),
                        (Column("to be copied", decimals=0, limits=_BEHIND), Line(_stream(journal.PENDING).max("stream"))),
                        (Column("deleted uncopied", decimals=0, limits=_ANY), _lost(journal.MISSED)),
                        (Column("refused by Loki", decimals=0, limits=_ANY), _lost(journal.REJECTED)),
                    ],
                    key_columns=[
                        Column(
                            "stream",
                            links=[
                                Link("How it is read", View.EXPORTER, {"stream": "stream"}),
                                Link("Who takes it", View.COMMUNICATIONS, {"stream": "stream"}),
                            ],
                        )
                    ],
                    width=24, height=8,
                ),
                heatmap(
                    "From storing to seeing",
                    "How many events a second were seen how long after they were stored (fleet_event_delay_seconds).",
                    Line(_family(fleet.DELAY).bucket_rate(RATE).sum("le"), "{{le}}"),
                    unit="s", width=12,
                ),
                graph(
                    "Size",
                    "95th percentile of the events' sizes by family (fleet_event_size_bytes).",
                    Line(_family(fleet.SIZE).quantile(0.95, "family", window=RATE), "{{family}}"),
                    unit="bytes", width=12,
                ),
                graph(
                    "Not understood, not kept",
                    "Messages a second that are no events, by what is wrong (fleet_events_unparsed_total), and what a cap "
                    "kept out (fleet_overflow_total) or overflowed unread (fleet_dropped_messages_total).",
                    _rate(fleet.UNPARSED, "{{reason}}", "reason"),
                    _rate(fleet.REFUSED, "too many: {{kind}}", "kind"),
                    _rate(DROPPED, "came too fast"),
                    unit="ops", width=8,
                ),
                graph(
                    "Samples and advisories",
                    "What NATS says a second about consumers, by type (fleet_nats_advisories_total).",
                    _rate(delivery.ADVISORIES, "{{type}}", "type"),
                    unit="ops", width=8,
                ),
                graph(
                    "Passed on",
                    "Clients that follow the events as they come, and events a second that Grafana Live took, with "
                    "pushes that it did not (fleet_listeners, fleet_grafana_live_*).",
                    Line(shown(live.LISTENERS).sum(), "followers"),
                    _rate(grafana_live.PUSHED, "events to Grafana Live"),
                    _rate(grafana_live.FAILED, "pushes that failed"),
                    unit="short", width=8, links=[_LIVE],
                ),
            ],
        ),
    ],
)  # fmt: skip
