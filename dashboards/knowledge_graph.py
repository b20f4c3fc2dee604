"""Knowledge graph: what the fleet's decision graph holds, how it hangs together, and whether it grows or loses something."""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, node_graph, stat, table
from dashboards.grafana.queries import RATE, Line, chosen, labelled, raw, shown
from dashboards.rows.common import STORY_MARKS, alert_marks, source_health
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, Series
from exporter.sources.neo4j import counts

_STORIES = Link("Stories", View.STORIES)
_NODES = ApiLink("Nodes of the graph", path="/api/graph/nodes")
_EVENTS = Link("What was published", View.EVENTS)
_KEY = ("database", "label")
_PATTERN = ("start", "type", "end")


def _of(metric: Metric) -> Series:
    return shown(metric, database=chosen("database"))


def _a_minute(metric: Metric, *labels: str, legend: str = "", window: str = RATE) -> Line:
    return Line((_of(metric).slope(window) * 60).sum(*labels), legend)


def _circle(query: Query, label: str) -> Query:
    made = labelled(query, "id", "$1", label, "(.*)")
    return labelled(made, "title", "$1", label, "(.*)").sum("id", "title")


def nodes() -> Line:
    """Labels with their nodes, and each end of a pattern that is no label: `*`, and `other` beyond the cap.

    What such an end stands for is not counted: its figure is NaN, which is shown as no data.
    """
    patterns = _of(counts.PATTERN_RELATIONSHIPS)
    ends = [_circle(patterns.sum(end), end) for end in ("start", "end")]
    known = _circle(_of(counts.LABEL_NODES).sum("label"), "label")
    return Line(raw(f"{known.text} or ({' or '.join(end.text for end in ends)}) * NaN", "id", "title"))


def edges() -> Line:
    """Relationships from label to label; the type is the second figure of an arrow."""
    made = _of(counts.PATTERN_RELATIONSHIPS).sum(*_PATTERN)
    text = f'label_join({made.text}, "id", " ", "start", "type", "end")'
    made = raw(text, *_PATTERN, "id")
    for label, source in (("source", "start"), ("target", "end"), ("secondarystat", "type")):
        made = labelled(made, label, "$1", source, "(.*)")
    return Line(made.sum("id", "source", "target", "secondarystat"))


_nodes_of_all = _of(counts.NODES)

DASHBOARD = Dashboard(
    view=View.GRAPH,
    title="Knowledge graph",
    description="What the decision graph in Neo4j holds, how it hangs together, and whether it grows or loses something.",
    variables=[
        variables.of("database", "database", "Database", "Databases of Neo4j.", shown(counts.NODES)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("neo4j"), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                *source_health("neo4j", "Neo4j", width=3),
                stat(
                    "Nodes",
                    "Nodes of the graph (count store).",
                    Line(_nodes_of_all.sum()),
                    width=3,
                    sparkline=True,
                    decimals=0,
                    links=[_NODES, _STORIES],
                ),
                stat(
                    "Relationships",
                    "Relationships of the graph (count store).",
                    Line(_of(counts.RELATIONSHIPS).sum()),
                    width=3,
                    sparkline=True,
                    decimals=0,
                    links=[_NODES, _STORIES],
                ),
                stat(
                    "Growth a minute",
                    "Nodes more or less a minute, by a straight line through the last quarter of an hour (neo4j_nodes).",
                    _a_minute(counts.NODES, window="15m"),
                    width=3,
                    decimals=1,
                    links=[_EVENTS],
                ),
                stat(
                    "Of the hour's highest",
                    "Nodes there are now, of the most there were within an hour; the alert is that it has lost a tenth.",
                    Line((_nodes_of_all / _nodes_of_all.max_over("1h")).min()),
                    unit="percentunit",
                    width=3,
                    limits=[Limit(thresholds.GRAPH_SHRUNK_RATIO, BAD)],
                    below=True,
                    links=[_EVENTS],
                ),
                stat(
                    "Last change",
                    "Time since a reading saw other counts than the one before it (neo4j_counts_changed_timestamp_seconds).",
                    Line(_of(counts.LAST_CHANGE).age().min()),
                    unit="s",
                    width=3,
                    links=[_EVENTS],
                ),
                stat(
                    "Version",
                    "Version and edition of the server (dbms.components).",
                    Line(_of(counts.INFO).max("version", "edition"), "{{version}} {{edition}}"),
                    width=3,
                    text=True,
                    links=[Link("The exporter", View.EXPORTER)],
                ),
            ],
        ),
        Row(
            "The graph",
            [
                node_graph(
                    "Labels and their relationships",
                    "A circle for each label with its nodes, an arrow for each type of relationship with how many there are "
                    "(neo4j_label_nodes, neo4j_pattern_relationships). Where both ends of a type are mixed, the count store "
                    "tells one at a time, and the other is *.",
                    nodes(),
                    edges(),
                    width=12,
                    height=14,
                ),
                table(
                    "Labels",
                    "Nodes by label, and their growth a minute (neo4j_label_nodes).",
                    _KEY,
                    [
                        (Column("nodes", decimals=0), Line(_of(counts.LABEL_NODES).max(*_KEY))),
                        (Column("a minute", decimals=1), Line((_of(counts.LABEL_NODES).slope(RATE) * 60).max(*_KEY))),
                    ],
                    key_columns=[Column("label", links=[_NODES, _STORIES]), Column("database", width=90)],
                    sort="nodes",
                    width=5,
                    height=14,
                ),
                table(
                    "Relationships",
                    "Relationships by type and the labels at their ends (neo4j_pattern_relationships), and their growth.",
                    _PATTERN,
                    [
                        (Column("count", decimals=0), Line(_of(counts.PATTERN_RELATIONSHIPS).sum(*_PATTERN))),
                        (
                            Column("a minute", decimals=1),
                            Line((_of(counts.PATTERN_RELATIONSHIPS).slope(RATE) * 60).sum(*_PATTERN)),
                        ),
                    ],
                    key_columns=[Column("type", links=[_NODES, _STORIES])],
                    sort="count",
                    width=7,
                    height=14,
                ),
            ],
        ),
        Row(
            "Over time",
            [
                graph(
                    "Nodes by label",
                    "Nodes by label (count store); a node with several labels is counted under each.",
                    Line(_of(counts.LABEL_NODES).sum("label"), "{{label}}"),
                    unit="short",
                    links=[_NODES, _STORIES],
                ),
                graph(
                    "Relationships by type",
                    "Relationships by type (count store).",
                    Line(_of(counts.TYPE_RELATIONSHIPS).sum("type"), "{{type}}"),
                    unit="short",
                    stacked=True,
                    links=[_NODES, _STORIES],
                ),
                graph(
                    "Growth a minute",
                    "Nodes and relationships more or less a minute; below the axis something is deleted.",
                    _a_minute(counts.LABEL_NODES, "label", legend="{{label}}"),
                    _a_minute(counts.RELATIONSHIPS, legend="relationships"),
                    unit="short",
                    minimum=None,
                ),
            ],
        ),
        Row(
            "Size and work",
            [
                graph(
                    "Size",
                    "All nodes and all relationships (count store).",
                    Line(_of(counts.NODES).sum("database"), "{{database}} nodes"),
                    Line(_of(counts.RELATIONSHIPS).sum("database"), "{{database}} relationships"),
                    unit="short",
                ),
                graph(
                    "Of the hour's highest",
                    "Nodes of the most there were within an hour; the line is the alert's.",
                    Line((_nodes_of_all / _nodes_of_all.max_over("1h")).min("database"), "{{database}}"),
                    unit="percentunit",
                    limits=[Limit(thresholds.GRAPH_SHRUNK_RATIO, BAD)],
                    below=True,
                    maximum=1,
                    minimum=None,
                ),
                graph(
                    "Transactions",
                    "Transactions in progress, the exporter's own left out (SHOW TRANSACTIONS).",
                    Line(_of(counts.TRANSACTIONS).sum("database"), "{{database}}"),
                    unit="short",
                ),
                graph(
                    "Labels and types",
                    "Labels and relationship types in use or once used (db.labels, db.relationshipTypes): a new one is a "
                    "new kind of knowledge, or a spelling mistake.",
                    Line(_of(counts.LABELS).sum("database"), "{{database}} labels"),
                    Line(_of(counts.TYPES).sum("database"), "{{database}} types"),
                    unit="short",
                    decimals=0,
                ),
            ],
        ),
    ],
)
