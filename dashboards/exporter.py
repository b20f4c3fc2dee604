"""Dashboard "Exporter": collection from backends, event and Loki lag, lost messages, and resource usage."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, OK, UP_DOWN, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, stat, table, timeline
from dashboards.grafana.queries import PrometheusTarget, selector, variable
from dashboards.rows import exporter_process, exporter_streams
from dashboards.rows.common import EXPORTER_UP, STALE, alert_marks, coded
from dashboards.rows.exporter_streams import BEHIND, happened, of_stream
from exporter.errors import Reason
from exporter.metrics import process
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.scrape import state as scrape
from exporter.source import LIMIT_HITS
from exporter.sources import loki
from exporter.sources.fleet import samples
from exporter.sources.fleet.consumer_samples import STREAM_LAG, STREAM_MODE
from exporter.sources.rayjob import jobs

_SOURCE = ("source", "server")
_READ = {"0": ("ok", OK)} | {
    str(place): (str(reason), WARN if reason is Reason.TIMEOUT else BAD) for place, reason in enumerate(Reason, 1)
}


def _of(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, server=variable("server"), **matchers)


_up = _of(scrape.UP)
_why = coded(scrape.FAILURE, tuple(Reason), *_SOURCE, label="reason", server=variable("server"))
_overview = [Link("Overview", DashboardUid.OVERVIEW)]
_to_events = [Link("Events", DashboardUid.EVENTS)]

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
                    PrometheusTarget(of_stream(STREAM_LAG).sum()),
                    width=3,
                    decimals=0,
                    limits=[BEHIND],
                    links=_to_events,
                ),
                stat(
                    "Loki lag",
                    "Messages not yet copied to Loki "
                    "(fleet_exporter_loki_pending_messages); no data if the source loki is disabled.",
                    PrometheusTarget(of_stream(loki.PENDING).sum()),
                    width=3,
                    decimals=0,
                    limits=[BEHIND],
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
                    happened(samples.UNPARSED, "parse error: {{reason}}", "reason"),
                    happened(LIMIT_HITS, "over limit: {{kind}}", "kind"),
                    happened(jobs.UNKNOWN, "unknown RayJob {{field}}", "field"),
                    unit="locale",
                    bars=True,
                ),
            ],
        ),
        exporter_streams.EVENTS,
        exporter_process.PROCESS,
    ],
)
