"""A row about the exporter's own reading of events: is every stream followed, how soon, and is anything lost on the way?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alerts import thresholds
from alerts.view import View
from dashboards.grafana.fields import ACCENT, BAD, OK, WARN, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, heatmap, table
from dashboards.grafana.queries import RANGE, RATE, Line, chosen, shown
from dashboards.rows.common import coded, worded
from exporter.events import broadcast
from exporter.events.streams import How
from exporter.fleet import delivery
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series
from exporter.sources import journal
from exporter.sources.fleet import grafana_live
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import DROPPED, FOLLOWED, SKIPPED, UNREAD

LIVE: Final = ApiLink("The events as they come")
_BEHIND: Final = [Limit(thresholds.EVENTS_BEHIND, WARN)]
_ANY: Final = [Limit(1, BAD)]
_HOW: Final[Mapping[str, tuple[str, str]]] = {
    How.CONSUMER: ("in order", OK), How.SUBSCRIPTION: ("as it comes", ACCENT), How.REFUSED: ("refused", BAD),
    How.OFFLINE: ("offline", BAD),
}  # fmt: skip


def of_families(metric: Metric) -> Series:
    """The series of the families that are chosen."""
    return shown(metric, family=chosen("family"))


def of_streams(metric: Metric) -> Series:
    """The series of the streams that are chosen."""
    return shown(metric, stream=chosen("stream"))


def _lost(metric: Metric) -> Line:
    return Line(of_streams(metric).increase(RANGE).sum("stream"))


def _rate(metric: Metric, legend: str, *labels: str) -> Line:
    return Line(shown(metric).rate(RATE).sum(*labels), legend)


ALL_SEEN: Final = Row(
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
                (Column("to be read", decimals=0, limits=_BEHIND), Line(of_streams(UNREAD).max("stream"))),
                (Column("deleted unread", decimals=0, limits=_ANY), _lost(SKIPPED)),
                (Column("to be copied", decimals=0, limits=_BEHIND), Line(of_streams(journal.PENDING).max("stream"))),
                (Column("deleted uncopied", decimals=0, limits=_ANY), _lost(journal.MISSED)),
                (Column("refused by Loki", decimals=0, limits=_ANY), _lost(journal.DROPPED)),
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
            Line(of_families(fleet.DELAY).bucket_rate(RATE).sum("le"), "{{le}}"),
            unit="s", width=12,
        ),
        graph(
            "Size",
            "95th percentile of the events' sizes by family (fleet_event_size_bytes).",
            Line(of_families(fleet.SIZE).quantile(0.95, "family", window=RATE), "{{family}}"),
            unit="bytes", width=12,
        ),
        graph(
            "Not understood, not kept",
            "Messages a second that are no events, by what is wrong (fleet_events_unparsed_total), values of events "
            "that cannot be parsed (fleet_events_unreadable_values_total), and what a cap "
            "kept out (fleet_overflow_total) or overflowed unread (fleet_dropped_messages_total).",
            _rate(fleet.UNPARSED, "{{reason}}", "reason"),
            _rate(fleet.UNREADABLE_VALUES, "unreadable {{field}}", "field"),
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
            Line(shown(broadcast.LISTENERS).sum(), "followers"),
            _rate(grafana_live.PUSHED, "events to Grafana Live"),
            _rate(grafana_live.FAILED, "pushes that failed"),
            unit="short", width=8, links=[LIVE],
        ),
    ],
)  # fmt: skip
