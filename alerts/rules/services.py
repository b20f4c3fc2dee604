"""The fleet's own services, by what their addresses answer."""

from __future__ import annotations

from typing import Final

from alerts.rule import Component, Rule, Severity
from alerts.view import View
from exporter.metrics.promql import series
from exporter.sources.services import probe

_UP = series(probe.UP).max_over("2m")
_NOWHERE = _UP.without("max", "address").equals(0)

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="ServiceDown",
        query=_NOWHERE,
        severity=Severity.CRITICAL,
        component=Component.SERVICES,
        summary="A service of the fleet is down",
        description="No address of {{ $labels.service }} has answered as it should for two minutes.",
        view=View.OVERVIEW,
        variables=("service",),
        lasting="1m",
        kept="2m",
    ),
    Rule(
        name="ServiceDegraded",
        query=_UP.without("min", "address").equals(0).unless(_NOWHERE),
        severity=Severity.WARNING,
        component=Component.SERVICES,
        summary="A service of the fleet answers at some of its addresses only",
        description="An address of {{ $labels.service }} does not answer as it should, others do.",
        view=View.OVERVIEW,
        variables=("service",),
        lasting="5m",
    ),
)
