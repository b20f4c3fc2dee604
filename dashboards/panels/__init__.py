"""Panels and whole dashboards in Grafana's JSON; nothing outside this package knows grafanalib."""

from dashboards.panels.dashboard import Annotation, Dashboard
from dashboards.panels.figures import bars, node_graph, stat, table
from dashboards.panels.graphs import graph, heatmap, timeline
from dashboards.panels.panel import Panel
from dashboards.panels.texts import firing_alerts, logs, note

__all__ = [
    "Annotation", "Dashboard", "Panel", "bars", "firing_alerts", "graph", "heatmap", "logs", "node_graph", "note", "stat",
    "table", "timeline",
]  # fmt: skip
