"""Routes: one subtree, matched by the `product` label, that fits into any routing tree."""

from __future__ import annotations

from typing import Any, Final

from alerts.alertmanager.options import Route, SiteOptions
from alerts.rule import Severity

PRODUCT: Final = 'product="fleet-exporter"'
WATCHDOG: Final = "Watchdog"

NULL_RECEIVER: Final = "fleet-null"
HEARTBEAT: Final = "fleet-heartbeat"
CRITICAL: Final = "fleet-slack-critical"
WARNING: Final = "fleet-slack-warnings"

WORKING_HOURS: Final = "fleet-working-hours"

GROUPED_BY: Final = ("alertname", "cluster", "namespace", "component")
"""Alerts with the same values share a message."""


def fleet_route(options: SiteOptions) -> dict[str, Any]:
    """The subtree; an alert that matches no child route is sent as a warning, so none is lost."""
    watchdog = {
        "receiver": HEARTBEAT if options.heartbeat else NULL_RECEIVER,
        "matchers": [f'alertname="{WATCHDOG}"'],
        "group_by": ["alertname"],
        **options.paces[Route.HEARTBEAT].document,
    }
    critical = {
        "receiver": CRITICAL,
        "matchers": [_severity(Severity.CRITICAL)],
        **options.paces[Route.CRITICAL].document,
    }
    warning: dict[str, Any] = {"receiver": WARNING, "matchers": [_severity(Severity.WARNING)]}
    if options.working_hours is not None:
        warning["active_time_intervals"] = [WORKING_HOURS]
    return {
        "receiver": WARNING,
        "matchers": [PRODUCT],
        "group_by": list(GROUPED_BY),
        **options.paces[Route.WARNING].document,
        "routes": [
            watchdog,
            critical,
            warning,
            {"receiver": NULL_RECEIVER, "matchers": [_severity(Severity.INFO)]},  # shown on dashboards only
        ],
    }


def time_intervals(options: SiteOptions) -> list[dict[str, Any]]:
    """Working hours, if configured."""
    if (hours := options.working_hours) is None:
        return []
    times = [{"start_time": hours.start, "end_time": hours.end}]
    return [
        {
            "name": WORKING_HOURS,
            "time_intervals": [{"weekdays": [hours.days], "times": times, "location": hours.zone}],
        }
    ]


def _severity(severity: Severity) -> str:
    return f'severity="{severity}"'
