"""Dashboard "Exporter": collection from backends, event and Loki lag, lost messages, and resource usage."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, UP_DOWN, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, stat, table, timeline
from dashboards.grafana.queries import RATE, STEP, PrometheusTarget, selector, variable
from dashboards.rows import exporter_process
from dashboards.rows.common import EXPORTER_UP, STALE, alert_marks, coded
from exporter.errors import Reason
from exporter.events import broadcast
from exporter.events.streams import DeliveryMode
from exporter.metrics import process
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
from exporter.sources.rayjob import jobs

_SOURCE = ("source", "server")
_READ = {"0": ("ok", OK)} | {
    str(place): (str(reason), WARN if reason is Reason.TIMEOUT else BAD) for place, reason in enumerate(Reason, 1)
}
_HOW = {
    DeliveryMode.CONSUMER: ("in order", OK),
    DeliveryMode.SUBSCRIPTION: ("plain", ACCENT),
    DeliveryMode.REFUSED: ("refused", BAD),
    DeliveryMode.OFFLINE: ("offline", BAD),
}


def _of(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, server=variable("server"), **matchers)


def _stream(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, stream=variable("stream"), **matchers)


def _events(metric: Metric, legend: str, *labels: str) -> PrometheusTarget:
    """A counter's increase per graph step, drawn as bars; 0 if nothing happened."""
    return PrometheusTarget(selector(metric).increase(STEP).sum(*labels), legend)


_up = _of(scrape.UP)
_why = coded(scrape.FAILURE, tuple(Reason), *_SOURCE, label="reason", server=variable("server"))
_how = coded(STREAM_MODE, tuple(_HOW), "stream", label="mode", stream=variable("stream"))
_behind = Threshold(thresholds.EVENTS_BEHIND, WARN)
_overview = [Link("Overview", DashboardUid.OVERVIEW)]
_to_events = [Link("Events", DashboardUid.EVENTS)]
_to_stream = [Link("Consumers", DashboardUid.COMMUNICATIONS, {"stream": "stream"})]

DASHBOARD = Dashboard(
    view=DashboardUid.EXPORTER,
    title="Exporter",
    description="Does the exporter read every backend, does it miss events, and what does it cost?",
    variables=[
        variables.of("server", "server", "Server", "Backends that the exporter reads.", selector(scrape.UP), optional=True),
        variables.of("stream", "stream", "Stream", "Streams that the exporter reads.", selector(STREAM_MODE)),
    ],
    annotations=[alert_marks("exporter")],
    rows=[
        Row(
            "",
            [
                stat(
                    "Exporter",
                    "Whether Prometheus scraped all selected exporters in the last minute (up); no data if there is none.",
                    PrometheusTarget(EXPORTER_UP.min()),
                    states=UP_DOWN,
                    width=3,
                    background=True,
                    links=_overview,
                ),
                stat(
                    "Failing",
                    "Backends whose last collection failed (fleet_exporter_source_up). The table below shows the reason.",
                    PrometheusTarget(_up.equals(0).count() | _up.count() * 0),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, BAD)],
                ),
                stat(
                    "Dropped",
                    "Series of the last collection that exceeded max_series or were duplicates "
                    "(fleet_exporter_source_dropped_series).",
                    PrometheusTarget(_of(scrape.DROPPED).sum()),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN)],
                ),
                stat(
                    "Event lag",
                    "Unread messages in the streams (fleet_exporter_stream_lag_messages).",
                    PrometheusTarget(_stream(STREAM_LAG).sum()),
                    width=3,
                    decimals=0,
                    limits=[_behind],
                    links=_to_events,
                ),
                stat(
                    "Loki lag",
                    "Messages not yet copied to Loki "
                    "(fleet_exporter_loki_pending_messages); no data if the source loki is disabled.",
                    PrometheusTarget(_stream(loki.PENDING).sum()),
                    width=3,
                    decimals=0,
                    limits=[_behind],
                    links=_to_events,
                ),
                stat(
                    "Restarts",
                    "Watchers that exited and were restarted in the last hour (fleet_exporter_watcher_restarts_total).",
                    PrometheusTarget(selector(scrape.RESTARTS).increase("1h").sum()),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN), Threshold(thresholds.WATCHER_RESTARTS, BAD)],
                ),
                stat(
                    "Series",
                    "Series from all sources in the last scrape (fleet_exporter_source_series).",
                    PrometheusTarget(_of(scrape.SERIES).sum()),
                    width=3,
                    decimals=0,
                ),
                stat(
                    "Version",
                    "Running versions (fleet_exporter_build_info); two versions indicate a rollout.",
                    PrometheusTarget(selector(process.BUILD).max("version"), "{{version}}"),
                    width=3,
                    text=True,
                ),
                table(
                    "Backends",
                    "State of each backend or reason of the failure, duration of the last collection, series, and time "
                    "since the last success (fleet_exporter_source_*).",
                    _SOURCE,
                    [
                        (FieldOverride("state", states=_READ), PrometheusTarget(_why)),
                        (FieldOverride("duration", unit="s"), PrometheusTarget(_of(scrape.DURATION).max(*_SOURCE))),
                        (FieldOverride("series", decimals=0), PrometheusTarget(_of(scrape.SERIES).sum(*_SOURCE))),
                        (
                            FieldOverride("dropped", decimals=0, limits=[Threshold(1, WARN)]),
                            PrometheusTarget(_of(scrape.DROPPED).sum(*_SOURCE)),
                        ),
                        (
                            FieldOverride("last success", unit="s", limits=STALE),
                            PrometheusTarget(_of(scrape.LAST_SUCCESS).age().max(*_SOURCE)),
                        ),
                    ],
                    key_columns=[FieldOverride("source", links=_overview)],
                    sort="state",
                    width=14,
                    height=12,
                ),
                timeline(
                    "Backends over time",
                    "State of each backend over time, or reason of the failure (fleet_exporter_source_failure). Gaps: the "
                    "exporter was not scraped.",
                    PrometheusTarget(_why, "{{source}} {{server}}"),
                    states=_READ,
                    width=10,
                    height=12,
                ),
            ],
        ),
        Row(
            "Collection",
            [
                graph(
                    "Collection duration",
                    "Duration of the last collection from each backend (fleet_exporter_source_duration_seconds).",
                    PrometheusTarget(_of(scrape.DURATION).max("source"), "{{source}}"),
                    unit="s",
                ),
                graph(
                    "Series by source",
                    "Series per source in the last scrape (fleet_exporter_source_series).",
                    PrometheusTarget(_of(scrape.SERIES).sum("source"), "{{source}}"),
                    unit="locale",
                    stacked=True,
                ),
                graph(
                    "Parse errors and limit hits",
                    "Unparseable messages, items over a cardinality limit, and RayJob states unknown to this version "
                    "(fleet_events_unparsed_total, fleet_exporter_limit_hits_total, ray_job_unknown_states_total).",
                    _events(samples.UNPARSED, "parse error: {{reason}}", "reason"),
                    _events(samples.LIMIT_HITS, "over limit: {{kind}}", "kind"),
                    _events(jobs.UNKNOWN, "unknown RayJob {{field}}", "field"),
                    unit="locale",
                    bars=True,
                ),
            ],
        ),
        Row(
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
                        (FieldOverride("position", decimals=0), PrometheusTarget(_stream(POSITION).max("stream"))),
                        (
                            FieldOverride("unread", decimals=0, limits=[_behind]),
                            PrometheusTarget(_stream(STREAM_LAG).max("stream")),
                        ),
                        (FieldOverride("in Loki", decimals=0), PrometheusTarget(_stream(loki.POSITION).max("stream"))),
                        (
                            FieldOverride("not in Loki", decimals=0, limits=[_behind]),
                            PrometheusTarget(_stream(loki.PENDING).max("stream")),
                        ),
                    ],
                    key_columns=[FieldOverride("stream", links=_to_stream)],
                    width=12,
                    height=9,
                ),
                graph(
                    "Lag",
                    "Messages not yet read and not yet copied to Loki, by stream (fleet_exporter_stream_lag_messages, "
                    "fleet_exporter_loki_pending_messages); line: alert threshold.",
                    PrometheusTarget(_stream(STREAM_LAG).max("stream"), "{{stream}} unread"),
                    PrometheusTarget(_stream(loki.PENDING).max("stream"), "{{stream}} not in Loki"),
                    unit="locale",
                    limits=[_behind],
                    width=12,
                    height=9,
                ),
                graph(
                    "Delay (p95)",
                    "p95 of the time from storage in the stream to receipt by the exporter and by Loki "
                    "(fleet_event_delay_seconds, fleet_exporter_loki_delay_seconds).",
                    PrometheusTarget(selector(samples.DELAY).quantile(0.95, "family", window=RATE), "{{family}} received"),
                    PrometheusTarget(_stream(loki.DELAY).quantile(0.95, "stream", window=RATE), "{{stream}} in Loki"),
                    unit="s",
                    width=8,
                ),
                graph(
                    "Restarts and reconnects",
                    "Consumer restarts by reason, lost NATS connections, and watcher restarts "
                    "(fleet_exporter_stream_restarts_total, fleet_exporter_nats_disconnects_total, "
                    "fleet_exporter_watcher_restarts_total).",
                    _events(RESTARTS, "{{reason}}", "reason"),
                    _events(DISCONNECTS, "connection lost"),
                    _events(scrape.RESTARTS, "{{source}} watcher restarted", "source"),
                    unit="locale",
                    width=8,
                    bars=True,
                ),
                graph(
                    "Lost messages",
                    "Messages deleted before they were read or copied, dropped at overflow, rejected by Loki, or "
                    "redelivered (fleet_exporter_stream_skipped_messages_total, "
                    "fleet_exporter_dropped_messages_total, fleet_exporter_loki_missed_messages_total and others).",
                    _events(SKIPPED, "deleted before read"),
                    _events(DROPPED, "overflow"),
                    _events(loki.MISSED, "deleted before copied"),
                    _events(loki.DROPPED, "rejected by Loki"),
                    _events(REPEATED, "redelivered"),
                    unit="locale",
                    width=8,
                    bars=True,
                ),
                graph(
                    "Copied to Loki",
                    "Events copied to Loki per second by stream, and failed pushes that were retried "
                    "(fleet_exporter_loki_entries_total, fleet_exporter_loki_retries_total).",
                    PrometheusTarget(_stream(loki.ENTRIES).rate(RATE).sum("stream"), "{{stream}}"),
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
                    _events(broadcast.DROPPED_CLIENTS, "disconnected, too slow"),
                    _events(grafana_live.FAILED, "failed pushes to Grafana Live"),
                    unit="locale",
                    width=12,
                ),
            ],
        ),
        exporter_process.PROCESS,
    ],
)
