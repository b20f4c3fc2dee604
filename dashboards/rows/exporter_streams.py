"""Row of the exporter's dashboard: the streams it reads, and what it copies to Loki and to clients."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import ACCENT, BAD, OK, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, STEP, PrometheusTarget, selector, variable
from dashboards.rows.common import coded
from exporter.events import broadcast
from exporter.events.streams import DeliveryMode
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.scrape import state as scrape
from exporter.sources import loki
from exporter.sources.fleet import grafana_live, samples
from exporter.sources.fleet.consumer_samples import (
    DISCONNECTS,
    DROPPED,
    POSITION,
    REPEATED,
    RESTARTS,
    SKIPPED,
    STREAM_LAG,
    STREAM_MODE,
)

_HOW = {
    DeliveryMode.CONSUMER: ("in order", OK),
    DeliveryMode.SUBSCRIPTION: ("plain", ACCENT),
    DeliveryMode.REFUSED: ("refused", BAD),
    DeliveryMode.OFFLINE: ("offline", BAD),
}


def of_stream(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, stream=variable("stream"), **matchers)


def happened(metric: Metric, legend: str, *labels: str) -> PrometheusTarget:
    """A counter's increase per graph step, drawn as bars; 0 if nothing happened."""
    return PrometheusTarget(selector(metric).increase(STEP).sum(*labels), legend)


_how = coded(STREAM_MODE, tuple(_HOW), "stream", label="mode", stream=variable("stream"))
BEHIND = Threshold(thresholds.EVENTS_BEHIND, WARN)
_to_stream = [Link("Consumers", DashboardUid.COMMUNICATIONS, {"stream": "stream"})]

EVENTS = Row(
    "Events",
    [
        table(
            "Streams",
            "How each stream is read, position and lag of the exporter, and position and lag of Loki "
            "(fleet_exporter_stream_*, fleet_exporter_loki_*).",
            ["stream"],
            [
                (
                    FieldOverride("read", states={str(place): word for place, word in enumerate(_HOW.values(), 1)}),
                    PrometheusTarget(_how),
                ),
                (FieldOverride("position", decimals=0), PrometheusTarget(of_stream(POSITION).max("stream"))),
                (
                    FieldOverride("unread", decimals=0, limits=[BEHIND]),
                    PrometheusTarget(of_stream(STREAM_LAG).max("stream")),
                ),
                (FieldOverride("in Loki", decimals=0), PrometheusTarget(of_stream(loki.POSITION).max("stream"))),
                (
                    FieldOverride("not in Loki", decimals=0, limits=[BEHIND]),
                    PrometheusTarget(of_stream(loki.PENDING).max("stream")),
                ),
            ],
            key_columns=[FieldOverride("stream", links=_to_stream)],
            sort="unread",
            width=12,
            height=9,
        ),
        graph(
            "Lag",
            "Messages not yet read and not yet copied to Loki, by stream (fleet_exporter_stream_lag_messages, "
            "fleet_exporter_loki_pending_messages); line: alert threshold.",
            PrometheusTarget(of_stream(STREAM_LAG).max("stream"), "{{stream}} unread"),
            PrometheusTarget(of_stream(loki.PENDING).max("stream"), "{{stream}} not in Loki"),
            unit="locale",
            limits=[BEHIND],
            width=12,
            height=9,
        ),
        graph(
            "Delay (p95)",
            "p95 of the time from storage in the stream to receipt by the exporter and by Loki "
            "(fleet_event_delay_seconds, fleet_exporter_loki_delay_seconds).",
            PrometheusTarget(selector(samples.DELAY).quantile(0.95, "family", window=RATE), "{{family}} received"),
            PrometheusTarget(of_stream(loki.DELAY).quantile(0.95, "stream", window=RATE), "{{stream}} in Loki"),
            unit="s",
            width=8,
        ),
        graph(
            "Restarts and reconnects",
            "Consumer restarts by reason, lost NATS connections, and watcher restarts "
            "(fleet_exporter_stream_restarts_total, fleet_exporter_nats_disconnects_total, "
            "fleet_exporter_watcher_restarts_total).",
            happened(RESTARTS, "{{reason}}", "reason"),
            happened(DISCONNECTS, "connection lost"),
            happened(scrape.RESTARTS, "{{source}} watcher restarted", "source"),
            unit="locale",
            width=8,
            bars=True,
        ),
        graph(
            "Lost messages",
            "Messages deleted before they were read or copied, dropped at overflow, rejected by Loki, or "
            "redelivered (fleet_exporter_stream_skipped_messages_total, "
            "fleet_exporter_dropped_messages_total, fleet_exporter_loki_missed_messages_total and others).",
            happened(SKIPPED, "deleted before read"),
            happened(DROPPED, "overflow"),
            happened(loki.MISSED, "deleted before copied"),
            happened(loki.DROPPED, "rejected by Loki"),
            happened(REPEATED, "redelivered"),
            unit="locale",
            width=8,
            bars=True,
        ),
        graph(
            "Copied to Loki",
            "Events copied to Loki per second by stream, and failed pushes that were retried "
            "(fleet_exporter_loki_entries_total, fleet_exporter_loki_retries_total).",
            PrometheusTarget(of_stream(loki.ENTRIES).rate(RATE).sum("stream"), "{{stream}}"),
            PrometheusTarget(selector(loki.RETRIES).rate(RATE).sum(), "failed pushes"),
            unit="eps",
            columns=[FieldOverride("failed pushes", color=BAD)],
            width=12,
        ),
        graph(
            "Stream clients",
            "Clients of the live stream (fleet_exporter_stream_clients), clients disconnected "
            "because they were too slow, and failed pushes to Grafana Live "
            "(fleet_exporter_stream_dropped_clients_total, fleet_exporter_grafana_live_failures_total).",
            PrometheusTarget(selector(broadcast.CLIENTS).sum(), "clients"),
            happened(broadcast.DROPPED_CLIENTS, "disconnected, too slow"),
            happened(grafana_live.FAILED, "failed pushes to Grafana Live"),
            unit="locale",
            width=12,
        ),
    ],
)
