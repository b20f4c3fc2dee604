"""Dashboard "Knowledge graph": size, structure and growth of the decision graph in Neo4j."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, QUIET, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, node_graph, stat, table
from dashboards.grafana.queries import RATE, PrometheusTarget, labelled, raw, selector, variable
from dashboards.rows.common import STORY_MARKS, alert_marks, source_health
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, Series
from exporter.sources.neo4j import counts

_STORIES = Link("Stories", DashboardUid.STORIES)
_NODES = ApiLink("Nodes", path="/api/graph/nodes")
_EVENTS = Link("Events", DashboardUid.EVENTS)
_KEY = ("database", "label")
_PATTERN = ("start", "type", "end")


def _of(metric: Metric) -> Series:
    return selector(metric, database=variable("database"))


def _a_minute(metric: Metric, *labels: str, legend: str = "", window: str = RATE) -> PrometheusTarget:
    return PrometheusTarget((_of(metric).slope(window) * 60).sum(*labels), legend)


def _circle(query: Query, label: str) -> Query:
    made = labelled(query, "id", "$1", label, "(.*)")
    return labelled(made, "title", "$1", label, "(.*)").sum("id", "title")


def nodes() -> PrometheusTarget:
    """Labels with their node counts, and pattern ends that are not labels: `*`, and `other` above the limit.

    The nodes of such an end are not counted: the value is NaN, which Grafana displays as no data.

    """
    patterns = _of(counts.PATTERN_RELATIONSHIPS)
    ends = [_circle(patterns.sum(end), end) for end in ("start", "end")]
    known = _circle(_of(counts.LABEL_NODES).sum("label"), "label")
    all_of = raw(f"({known.text} or ({' or '.join(end.text for end in ends)}) * NaN)", "id", "title")
    counted = labelled(raw(f"({all_of.text} >= 0)", "id", "title"), "color", ACCENT)
    uncounted = labelled(raw(f"({all_of.text} unless {all_of.text} >= 0)", "id", "title"), "color", QUIET)
    return PrometheusTarget(raw(f"{counted.text} or {uncounted.text}", "id", "title", "color"))


def edges() -> PrometheusTarget:
    """Relationships from label to label; the secondary value of an edge is the type."""
    made = _of(counts.PATTERN_RELATIONSHIPS).sum(*_PATTERN)
    text = f'label_join({made.text}, "id", " ", "start", "type", "end")'
    made = raw(text, *_PATTERN, "id")
    for label, source in (("source", "start"), ("target", "end"), ("secondarystat", "type")):
        made = labelled(made, label, "$1", source, "(.*)")
    return PrometheusTarget(made.sum("id", "source", "target", "secondarystat"))


_nodes_of_all = _of(counts.NODES)

DASHBOARD = Dashboard(
    view=DashboardUid.GRAPH,
    title="Knowledge graph",
    description="What does the decision graph in Neo4j contain, and does it grow or shrink?",
    variables=[
        variables.of("database", "database", "Database", "Neo4j databases.", selector(counts.NODES)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("neo4j"), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                *source_health("neo4j", "Neo4j", width=4),
                stat(
                    "Nodes",
                    "Nodes in the graph (count store).",
                    PrometheusTarget(_nodes_of_all.sum()),
                    width=4,
                    decimals=0,
                    links=[_NODES, _STORIES],
                ),
                stat(
                    "Relationships",
                    "Relationships in the graph (count store).",
                    PrometheusTarget(_of(counts.RELATIONSHIPS).sum()),
                    width=4,
                    decimals=0,
                    links=[_NODES, _STORIES],
                ),
                stat(
                    "Nodes vs 1 h max",
                    "Current nodes divided by the maximum of the last hour. Color: threshold of Neo4jGraphShrinking.",
                    PrometheusTarget((_nodes_of_all / _nodes_of_all.max_over("1h")).min()),
                    unit="percentunit",
                    width=4,
                    limits=[Threshold(thresholds.GRAPH_SHRUNK_RATIO, BAD)],
                    below=True,
                    links=[_EVENTS],
                ),
                stat(
                    "Last change",
                    "Time since the counts changed between two collections (neo4j_counts_changed_timestamp_seconds).",
                    PrometheusTarget(_of(counts.LAST_CHANGE).age().min()),
                    unit="s",
                    width=4,
                    links=[_EVENTS],
                ),
            ],
        ),
        Row(
            "The graph",
            [
                table(
                    "Labels",
                    "Nodes by label, and growth per minute over 15 minutes (neo4j_label_nodes).",
                    _KEY,
                    [
                        (FieldOverride("nodes", decimals=0), PrometheusTarget(_of(counts.LABEL_NODES).max(*_KEY))),
                        (
                            FieldOverride("per minute", decimals=1),
                            PrometheusTarget((_of(counts.LABEL_NODES).slope("15m") * 60).max(*_KEY)),
                        ),
                    ],
                    key_columns=[FieldOverride("label", links=[_NODES, _STORIES]), FieldOverride("database", width=90)],
                    sort="nodes",
                    width=10,
                    height=10,
                ),
                table(
                    "Relationships",
                    "Relationships by type and end labels, and growth per minute over 15 minutes "
                    "(neo4j_pattern_relationships).",
                    _PATTERN,
                    [
                        (
                            FieldOverride("count", decimals=0),
                            PrometheusTarget(_of(counts.PATTERN_RELATIONSHIPS).sum(*_PATTERN)),
                        ),
                        (
                            FieldOverride("per minute", decimals=1),
                            PrometheusTarget((_of(counts.PATTERN_RELATIONSHIPS).slope("15m") * 60).sum(*_PATTERN)),
                        ),
                    ],
                    key_columns=[FieldOverride("type", links=[_NODES, _STORIES])],
                    sort="count",
                    width=14,
                    height=10,
                ),
                node_graph(
                    "Labels and relationships",
                    "Labels with their number of nodes, and relationship types with their number of relationships "
                    "(neo4j_label_nodes, neo4j_pattern_relationships). The count store stores one labeled end per "
                    "pattern; * is any label.",
                    nodes(),
                    edges(),
                    links=[_NODES, _EVENTS],
                    width=24,
                    height=18,
                ),
            ],
        ),
        Row(
            "Over time",
            [
                graph(
                    "Nodes by label",
                    "Nodes by label (count store). A node with several labels is counted once per label.",
                    PrometheusTarget(_of(counts.LABEL_NODES).sum("label"), "{{label}}"),
                    unit="locale",
                    links=[_NODES, _STORIES],
                ),
                graph(
                    "Relationships by type",
                    "Relationships by type (count store).",
                    PrometheusTarget(_of(counts.TYPE_RELATIONSHIPS).sum("type"), "{{type}}"),
                    unit="locale",
                    stacked=True,
                    links=[_NODES, _STORIES],
                ),
                graph(
                    "Growth per minute",
                    "Change of nodes by label, and of relationships, per minute; below 0, more are deleted than created.",
                    _a_minute(counts.LABEL_NODES, "label", legend="{{label}}"),
                    _a_minute(counts.RELATIONSHIPS, legend="relationships"),
                    unit="locale",
                    minimum=None,
                ),
            ],
        ),
        Row(
            "Size and transactions",
            [
                graph(
                    "Size",
                    "Total nodes and relationships (count store).",
                    PrometheusTarget(_of(counts.NODES).sum("database"), "{{database}} nodes"),
                    PrometheusTarget(_of(counts.RELATIONSHIPS).sum("database"), "{{database}} relationships"),
                    unit="locale",
                ),
                graph(
                    "Nodes vs 1 h max",
                    "Current nodes divided by the maximum of the last hour; line: threshold of Neo4jGraphShrinking.",
                    PrometheusTarget((_nodes_of_all / _nodes_of_all.max_over("1h")).min("database"), "{{database}}"),
                    unit="percentunit",
                    limits=[Threshold(thresholds.GRAPH_SHRUNK_RATIO, BAD)],
                    below=True,
                    maximum=1,
                    minimum=None,
                ),
                graph(
                    "Transactions",
                    "Transactions in progress, without the exporter's own (SHOW TRANSACTIONS).",
                    PrometheusTarget(_of(counts.TRANSACTIONS).sum("database"), "{{database}}"),
                    unit="locale",
                ),
                graph(
                    "Labels and types",
                    "Labels and relationship types, including unused ones (db.labels, db.relationshipTypes). A new one "
                    "may be a typo.",
                    PrometheusTarget(_of(counts.LABELS).sum("database"), "{{database}} labels"),
                    PrometheusTarget(_of(counts.TYPES).sum("database"), "{{database}} types"),
                    unit="locale",
                    decimals=0,
                ),
            ],
        ),
    ],
)
