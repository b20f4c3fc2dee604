"""Which alert goes to which receiver: one sub-tree for our alerts, found by their product, that fits into any tree."""

from __future__ import annotations

from typing import Any, Final

from alerts.alertmanager.options import Options, Told
from alerts.rule import Severity

PRODUCT: Final = 'product="fleet-exporter"'
WATCHDOG: Final = "Watchdog"

NOBODY: Final = "fleet-nobody"
HEARTBEAT: Final = "fleet-heartbeat"
CRITICAL: Final = "fleet-slack-critical"
WARNING: Final = "fleet-slack-warnings"

WORKING_HOURS: Final = "fleet-working-hours"

GROUPED_BY: Final = ("alertname", "cluster", "namespace", "component")
"""Alerts that are alike in these share a message."""


def fleet_route(options: Options) -> dict[str, Any]:
    """The sub-tree: what none of its routes takes is told as a warning is, so nothing is lost for a label."""
    watchdog = {
        "receiver": HEARTBEAT if options.heartbeat else NOBODY,
        "matchers": [f'alertname="{WATCHDOG}"'],
        "group_by": ["alertname"],
        **options.paces[Told.HEARTBEAT].document,
    }
    critical = {
        "receiver": CRITICAL,
        "matchers": [_severity(Severity.CRITICAL)],
        **options.paces[Told.CRITICAL].document,
    }
    warning: dict[str, Any] = {"receiver": WARNING, "matchers": [_severity(Severity.WARNING)]}
    if options.working_hours is not None:
        warning["active_time_intervals"] = [WORKING_HOURS]
    return {
        "receiver": WARNING,
        "matchers": [PRODUCT],
        "group_by": list(GROUPED_BY),
        **options.paces[Told.WARNING].document,
        "routes": [
            watchdog,
            critical,
            warning,
            {"receiver": NOBODY, "matchers": [_severity(Severity.INFO)]},  # dashboards show those
        ],
    }


def time_intervals(options: Options) -> list[dict[str, Any]]:
    """The hours of work, where a site has named them."""
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
