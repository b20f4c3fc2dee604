"""Row about services: health, round-trip time, councils and jobs."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import BAD, OK, QUIET, UP_DOWN, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import PrometheusTarget, selector, variable
from dashboards.rows.common import coded
from exporter.errors import Reason
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series
from exporter.sources.services import probe

_KEY = ("service", "address")
_HEALTH = {
    probe.Health.SERVING: ("serving", OK),
    probe.Health.NOT_SERVING: ("not serving", BAD),
    probe.Health.UNKNOWN: ("unknown", WARN),
    probe.Health.NONE: ("no health service", QUIET),
}
_REASONS = {"0": ("none", QUIET)} | {str(place): (reason, BAD) for place, reason in enumerate(Reason, 1)}
LINKS: Final = (Link("Pods and agents", DashboardUid.OVERVIEW, {"service": "service"}),)


def _of(metric: Metric) -> Series:
    return selector(metric, service=variable("service"))


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(_of(metric).max(*_KEY))


_addresses = _of(probe.UP) * 0
_states = {str(place): word for place, word in enumerate(_HEALTH.values(), 1)}

SERVICES: Final = Row(
    "Services",
    [
        table(
            "Services",
            "Every address of every service, checked over gRPC or HTTP (grpc.health.v1, GetStatus). No data for values "
            "that the service does not report.",
            _KEY,
            [
                (FieldOverride("up", states=UP_DOWN), _each(probe.UP)),
                (
                    FieldOverride("health", states=_states),
                    PrometheusTarget(coded(probe.HEALTH, tuple(_HEALTH), *_KEY, label="health")),
                ),
                (
                    FieldOverride("failure", states=_REASONS),
                    PrometheusTarget(coded(probe.FAILURE, tuple(Reason), *_KEY, label="reason")),
                ),
                (
                    FieldOverride("round trip", unit="s", limits=[Threshold(thresholds.RTT_SECONDS, WARN)]),
                    _each(probe.ROUND_TRIP),
                ),
                (
                    FieldOverride("addresses"),
                    PrometheusTarget(
                        _addresses.matching("+", selector(probe.INSTANCES), "job", "instance", "service").max(*_KEY)
                    ),
                ),
                (FieldOverride("uptime", unit="s"), PrometheusTarget(_of(probe.STARTED).age().max(*_KEY))),
            ],
            key_columns=[FieldOverride("service", links=LINKS)],
            sort="service",
            descending=False,
            width=24,
            height=7,
        ),
        graph(
            "Round trip of services",
            "Response time of each address (fleet_service_round_trip_seconds). Gaps: no check took place.",
            PrometheusTarget(_of(probe.ROUND_TRIP).max(*_KEY), "{{service}} {{address}}"),
            unit="s",
            limits=[Threshold(thresholds.RTT_SECONDS, WARN)],
            links=LINKS,
            width=12,
        ),
        graph(
            "Councils and jobs",
            "Councils, agents, running jobs and deliberations reported by the orchestrator and the Ray executor (GetStatus, "
            "ListCouncils, GetActiveJobs).",
            PrometheusTarget(_of(probe.COUNCILS).sum("service"), "{{service}} councils"),
            PrometheusTarget(_of(probe.AGENTS).sum("role"), "{{role}} agents"),
            PrometheusTarget(_of(probe.JOBS).sum("role"), "{{role}} jobs"),
            PrometheusTarget(_of(probe.ACTIVE).sum("service"), "{{service}} deliberations"),
            unit="locale",
            decimals=0,
            links=[Link("Agents", DashboardUid.AGENTS)],
            width=12,
        ),
    ],
)
