"""Row about the exporter's event pipeline: lag, delay, parse errors and lost messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import ACCENT, BAD, OK, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, heatmap, table
from dashboards.grafana.queries import RANGE, RATE, PrometheusTarget, selector, variable
from dashboards.rows.common import coded, worded
from exporter.events import broadcast
from exporter.events.streams import DeliveryMode
from exporter.fleet import delivery
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series
from exporter.source import LIMIT_HITS
from exporter.sources import loki
from exporter.sources.fleet import grafana_live
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import DROPPED, SKIPPED, STREAM_LAG, STREAM_MODE

LIVE: Final = ApiLink("Live events")
_BEHIND: Final = [Threshold(thresholds.EVENTS_BEHIND, WARN)]
_ANY: Final = [Threshold(1, BAD)]
_HOW: Final[Mapping[str, tuple[str, str]]] = {
    DeliveryMode.CONSUMER: ("in order", OK),
    DeliveryMode.SUBSCRIPTION: ("plain", ACCENT),
    DeliveryMode.REFUSED: ("refused", BAD),
    DeliveryMode.OFFLINE: ("offline", BAD),
}


def of_families(metric: Metric) -> Series:
    """Series of the selected families."""
    return selector(metric, family=variable("family"))


def of_streams(metric: Metric) -> Series:
    """Series of the selected streams."""
    return selector(metric, stream=variable("stream"))


def _lost(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(of_streams(metric).increase(RANGE).sum("stream"))


def _rate(metric: Metric, legend: str, *labels: str) -> PrometheusTarget:
    return PrometheusTarget(selector(metric).rate(RATE).sum(*labels), legend)


ALL_SEEN: Final = Row(
    "Reader health",
    [
        table(
            "Streams",
            "How the exporter reads each stream, messages not yet read and not yet copied to Loki, and in the time range: "
            "messages deleted before that, and rejected by Loki (fleet_exporter_stream_*, fleet_exporter_loki_*).",
            ["stream"],
            [
                (
                    FieldOverride("read", states=worded(_HOW)),
                    PrometheusTarget(coded(STREAM_MODE, tuple(_HOW), "stream", label="mode", stream=variable("stream"))),
                ),
                (
                    FieldOverride("unread", decimals=0, limits=_BEHIND),
                    PrometheusTarget(of_streams(STREAM_LAG).max("stream")),
                ),
                (FieldOverride("deleted unread", decimals=0, limits=_ANY), _lost(SKIPPED)),
                (
                    FieldOverride("not in Loki", decimals=0, limits=_BEHIND),
                    PrometheusTarget(of_streams(loki.PENDING).max("stream")),
                ),
                (FieldOverride("deleted before copied", decimals=0, limits=_ANY), _lost(loki.MISSED)),
                (FieldOverride("rejected by Loki", decimals=0, limits=_ANY), _lost(loki.DROPPED)),
            ],
            key_columns=[
                FieldOverride(
                    "stream",
                    links=[
                        Link("Exporter", DashboardUid.EXPORTER, {"stream": "stream"}),
                        Link("Consumers", DashboardUid.COMMUNICATIONS, {"stream": "stream"}),
                    ],
                )
            ],
            sort="unread",
            width=24,
            height=8,
        ),
        heatmap(
            "Events by delay",
            "Events per second by the time from storage to receipt (fleet_event_delay_seconds).",
            PrometheusTarget(of_families(fleet.DELAY).bucket_rate(RATE).sum("le"), "{{le}}"),
            unit="s",
            width=12,
        ),
        graph(
            "Event size (p95)",
            "p95 of the event size by family (fleet_event_size_bytes).",
            PrometheusTarget(of_families(fleet.SIZE).quantile(0.95, "family", window=RATE), "{{family}}"),
            unit="bytes",
            width=12,
        ),
        graph(
            "Parse errors and drops",
            "Per second: unparseable messages by reason (fleet_events_unparsed_total), unparseable values by field "
            "(fleet_events_unreadable_values_total), items over a cardinality limit (fleet_exporter_limit_hits_total), "
            "and messages dropped at overflow (fleet_exporter_dropped_messages_total).",
            _rate(fleet.UNPARSED, "{{reason}}", "reason"),
            _rate(fleet.UNREADABLE_VALUES, "unreadable {{field}}", "field"),
            _rate(LIMIT_HITS, "over limit: {{kind}}", "kind"),
            _rate(DROPPED, "overflow"),
            unit="eps",
            width=8,
        ),
        graph(
            "NATS advisories",
            "Ack samples and advisories of consumers per second, by type (fleet_exporter_nats_advisories_total).",
            _rate(delivery.ADVISORIES, "{{type}}", "type"),
            unit="eps",
            width=8,
        ),
        graph(
            "Live stream",
            "Connected clients, and events and failed pushes to Grafana Live per second (fleet_exporter_stream_clients, "
            "fleet_exporter_grafana_live_*).",
            PrometheusTarget(selector(broadcast.CLIENTS).sum(), "clients"),
            _rate(grafana_live.PUSHED, "events to Grafana Live"),
            _rate(grafana_live.FAILED, "failed pushes"),
            unit="locale",
            width=8,
            links=[LIVE],
        ),
    ],
)
