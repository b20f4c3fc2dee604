"""Panels and dashboards as Grafana JSON; the only package that imports grafanalib."""

from dashboards.grafana.panels.dashboard import Annotation, Dashboard
from dashboards.grafana.panels.figures import bars, node_graph, stat, table
from dashboards.grafana.panels.graphs import graph, heatmap, timeline
from dashboards.grafana.panels.panel import Panel
from dashboards.grafana.panels.texts import firing_alerts, logs, note

__all__ = [
    "Annotation", "Dashboard", "Panel", "bars", "firing_alerts", "graph", "heatmap", "logs", "node_graph", "note", "stat",
    "table", "timeline",
]  # fmt: skip
