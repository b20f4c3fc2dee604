"""The fleet's services, by the health checks of their addresses."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import AlertingRule, Component, Severity
from exporter.metrics.promql import series
from exporter.sources.services import probe

_UP = series(probe.UP).max_over("2m")
_NOWHERE = _UP.without("max", "address").equals(0)

RULES: Final[tuple[AlertingRule, ...]] = (
    AlertingRule(
        name="ServiceDown",
        query=_NOWHERE,
        severity=Severity.CRITICAL,
        component=Component.SERVICES,
        summary="Service is down",
        catches="A gRPC service that runs but reports NOT_SERVING because its own backend failed.",
        description="No address of {{ $labels.service }} has passed its health check for 2 minutes.",
        view=DashboardUid.OVERVIEW,
        variables=("service",),
        for_="1m",
        keep_firing_for="2m",
    ),
    AlertingRule(
        name="ServiceDegraded",
        query=_UP.without("min", "address").equals(0).unless(_NOWHERE),
        severity=Severity.WARNING,
        component=Component.SERVICES,
        summary="Service is degraded",
        catches="One broken replica behind a name that still resolves to healthy ones: some calls fail.",
        description="At least one address of {{ $labels.service }} fails its health check; other addresses pass.",
        view=DashboardUid.OVERVIEW,
        variables=("service",),
        for_="5m",
    ),
)
