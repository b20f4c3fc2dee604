"""Unreadable sources: one alert per backend, and none for a failure caused by another backend."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import AlertingRule, Component, Severity
from exporter.metrics.promql import REPLICA_LABELS, Query, series
from exporter.scrape import state as scrape

ELSEWHERE: Final = ("source", "server", *REPLICA_LABELS)
"""Labels that may differ between two sources of one fleet; with shards, another exporter may read the other source."""

UNREAD_FOR: Final = "2m"
"""Window without a successful collection. A single failed scrape within it changes nothing."""

_DESCRIPTION: Final = (
    "{{ $labels.source }} {{ $labels.server }} has been unreadable for 2 minutes; "
    "fleet_exporter_source_failure has the reason."
)


def unread(source: str) -> Query:
    """Configured sources without a successful collection."""
    return series(scrape.UP, source=source).max_over(UNREAD_FOR).equals(0)


def down(
    name: str, source: str, component: Component, summary: str, view: DashboardUid,
    *, catches: str, because: str = "", severity: Severity = Severity.CRITICAL, variables: tuple[str, ...] = (),
) -> AlertingRule:  # fmt: skip
    """The alert of one source; silent while `because`, a source with the same backend, cannot be read either."""
    query = unread(source)
    if because:
        query = query.unless(unread(because), ignoring=ELSEWHERE)
    return AlertingRule(
        name=name,
        query=query,
        severity=severity,
        component=component,
        summary=summary,
        description=_DESCRIPTION,
        catches=catches,
        view=view,
        variables=variables,
        for_="1m",
        keep_firing_for="2m",
        down=True,
    )
