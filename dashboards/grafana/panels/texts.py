"""Text panels: notes, log lines from Loki, firing alerts."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.grafana.fields import NO_DATA, Document
from dashboards.grafana.panels.panel import LOKI, Panel, log_targets, panel
from dashboards.grafana.queries import LokiTarget


def note(title: str, content: str, *, width: int | None = None, height: int = 3) -> Panel:
    """Markdown: purpose of a dashboard, and links to others."""
    made = panel(
        "text", title, "Purpose of this dashboard.", [], options={"mode": "markdown", "content": content}, field={},
        width=width, height=height,
    )  # fmt: skip
    made.transparent = True
    return made


def logs(
    title: str,
    description: str,
    query: LokiTarget,
    *,
    width: int | None = None,
    height: int = 12,
    fields: Sequence[str] = (),
) -> Panel:
    """Lines from Loki, newest first; `fields` are shown instead of the whole line."""
    options: Document = {
        "dedupStrategy": "none",
        "displayedFields": list(fields),
        "enableInfiniteScrolling": True,
        "enableLogDetails": True,
        "prettifyLogMessage": False,
        "showCommonLabels": False,
        "showControls": True,
        "showLabels": False,
        "showLogContextToggle": False,
        "showTime": True,
        "sortOrder": "Descending",
        "wrapLogMessage": True,
    }
    return panel(
        "logs",
        title,
        description,
        log_targets(query),
        options=options,
        field={"noValue": NO_DATA},
        width=width,
        height=height,
        datasource=LOKI,
    )


def firing_alerts(title: str, description: str, *, matcher: str, width: int | None = None, height: int = 8) -> Panel:
    """Firing and pending alerts of all data sources; `matcher` such as `{product="fleet-exporter"}`.

    The option for a data source compares its name with a text that Grafana does not interpolate: a variable in it would
    hide all alerts.

    """
    options: Document = {
        "alertInstanceLabelFilter": matcher,
        "alertName": "",
        "dashboardAlerts": False,
        "groupBy": [],
        "groupMode": "default",
        "maxItems": 20,
        "showInactiveAlerts": False,
        "sortOrder": 3,
        "stateFilter": {
            "firing": True,
            "pending": True,
            "error": True,
            "noData": False,
            "normal": False,
            "recovering": True,
        },
        "viewMode": "list",
    }
    return panel("alertlist", title, description, [], options=options, field={}, width=width, height=height)
