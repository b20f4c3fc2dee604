"""Row about services: health, round-trip time, councils and jobs."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.view import View
from dashboards.grafana.fields import BAD, OK, QUIET, UP_DOWN, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import Line, chosen, shown
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
LINKS: Final = (Link("Pods and agents", View.OVERVIEW, {"service": "service"}),)


def _of(metric: Metric) -> Series:
    return shown(metric, service=chosen("service"))


def _each(metric: Metric) -> Line:
    return Line(_of(metric).max(*_KEY))


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
                (Column("up", states=UP_DOWN), _each(probe.UP)),
                (Column("health", states=_states), Line(coded(probe.HEALTH, tuple(_HEALTH), *_KEY, label="health"))),
                (Column("failure", states=_REASONS), Line(coded(probe.FAILURE, tuple(Reason), *_KEY, label="reason"))),
                (
                    Column("round trip", unit="s", limits=[Limit(thresholds.RTT_SECONDS, WARN)]),
                    _each(probe.ROUND_TRIP),
                ),
                (
                    Column("addresses"),
                    Line(_addresses.matching("+", shown(probe.INSTANCES), "job", "instance", "service").max(*_KEY)),
                ),
                (Column("uptime", unit="s"), Line(_of(probe.STARTED).age().max(*_KEY))),
            ],
            key_columns=[Column("service", links=LINKS)],
            sort="service",
            descending=False,
            width=24,
            height=7,
        ),
        graph(
            "Round trip of services",
            "Response time of each address (fleet_service_round_trip_seconds). Gaps: no check took place.",
            Line(_of(probe.ROUND_TRIP).max(*_KEY), "{{service}} {{address}}"),
            unit="s",
            limits=[Limit(thresholds.RTT_SECONDS, WARN)],
            links=LINKS,
            width=12,
        ),
        graph(
            "Councils and jobs",
            "Councils, agents, running jobs and deliberations reported by the orchestrator and the Ray executor (GetStatus, "
            "ListCouncils, GetActiveJobs).",
            Line(_of(probe.COUNCILS).sum("service"), "{{service}} councils"),
            Line(_of(probe.AGENTS).sum("role"), "{{role}} agents"),
            Line(_of(probe.JOBS).sum("role"), "{{role}} jobs"),
            Line(_of(probe.ACTIVE).sum("service"), "{{service}} deliberations"),
            unit="locale",
            decimals=0,
            links=[Link("Agents", View.AGENTS)],
            width=12,
        ),
    ],
)
