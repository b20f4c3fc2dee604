"""Row about NATS server processes, read from their monitoring ports (jetstream.monitoring_url)."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, PrometheusTarget, selector
from exporter.metrics.metric import Metric
from exporter.sources.jetstream import monitoring as servers

_HEALTHY = {"0": ("no", BAD), "1": ("yes", OK)}
_LEADER = {"0": ("no", QUIET), "1": ("yes", OK)}
_LINKS = [Link("Streams and consumers", DashboardUid.COMMUNICATIONS)]


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(selector(metric).max("server"))


def _rate(metric: Metric, legend: str) -> PrometheusTarget:
    return PrometheusTarget(selector(metric).rate(RATE).sum(), legend)


_info = selector(servers.INFO).max("server", "name", "version")
_connections = selector(servers.CONNECTIONS).max("server")
_limit = selector(servers.CONNECTION_LIMIT).max("server") > 0

NATS_SERVERS: Final = Row(
    "NATS servers",
    [
        table(
            "NATS servers",
            "Each server of jetstream.monitoring_url (/varz, /healthz); no data if none is configured. A server that is "
            "down has no row.",
            ["server"],
            [
                (FieldOverride("info", hidden=True), PrometheusTarget(_info)),
                (FieldOverride("healthy", states=_HEALTHY), PrometheusTarget(selector(servers.HEALTHY).min("server"))),
                (FieldOverride("leader", states=_LEADER), _each(servers.META_LEADER)),
                (FieldOverride("uptime", unit="s"), PrometheusTarget(selector(servers.START).age().max("server"))),
                (FieldOverride("CPU", decimals=2), _each(servers.CPU)),
                (FieldOverride("memory", unit="bytes"), _each(servers.MEMORY)),
                (
                    FieldOverride("connections used", unit="percentunit", bar=True, limits=[Threshold(0.8, WARN)]),
                    PrometheusTarget(_connections / _limit),
                ),
            ],
            labels={"name": "name", "version": "version"},
            key_columns=[FieldOverride("server", links=_LINKS)],
            sort="server",
            descending=False,
            width=24,
            height=6,
        ),
        graph(
            "NATS server traffic",
            "Messages per second received and sent, connections accepted, and connections closed because the client read "
            "too slowly (/varz in_msgs, out_msgs, total_connections, slow_consumers).",
            _rate(servers.RECEIVED, "received"),
            _rate(servers.SENT, "sent"),
            _rate(servers.ACCEPTED, "connections accepted"),
            _rate(servers.SLOW_CONSUMERS, "slow consumers"),
            unit="ops",
            width=24,
            height=8,
        ),
    ],
    collapsed=True,
)
