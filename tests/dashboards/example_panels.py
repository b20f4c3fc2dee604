"""Metrics, panels and a dashboard of depths, for the tests of the framework."""

from __future__ import annotations

from typing import Any

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import (
    Dashboard,
    Panel,
    logs,
    stat,
)
from dashboards.grafana.queries import LokiTarget, PrometheusTarget, selector
from exporter.metrics.metric import counter, gauge, state_set

GAUGE = gauge("t_depth", "A depth.", "queue", "server")
COUNTER = counter("t_done_total", "What was done.", "queue")
STATES = state_set("t_state", "A state.", "queue", states=("new", "old"), state_label="state")
DEPTH = PrometheusTarget(selector(GAUGE).max("queue"), "{{queue}}")
KEPT = 'job=~"$job", instance=~"$instance"'


def a_panel(title: str = "Depth", *, width: int | None = None, height: int = 4, loki: bool = False) -> Panel:
    if loki:
        return logs(title, "Lines.", LokiTarget('{family="planning"}'), width=width, height=height)
    return stat(title, "A depth.", DEPTH, width=width, height=height)


def a_dashboard(*rows: Row, **more: Any) -> Dashboard:
    return Dashboard(DashboardUid.VALKEY, "Depths", "How deep it is.", rows, **more)
