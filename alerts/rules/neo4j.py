"""Neo4j: down, or losing its graph."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import GRAPH_NODES, GRAPH_SHRUNK_RATIO
from alerts.view import View
from exporter.metrics.promql import series
from exporter.sources.neo4j import counts

_NODES = series(counts.NODES)
_MOST = _NODES.max_over("1h")

RULES: Final[tuple[Rule, ...]] = (
    sources.down("Neo4jDown", "neo4j", Component.NEO4J, "Neo4j cannot be read", View.GRAPH),
    Rule(
        name="Neo4jGraphShrinking",
        query=(_NODES < _MOST * GRAPH_SHRUNK_RATIO) & (_MOST >= GRAPH_NODES),
        severity=Severity.CRITICAL,
        component=Component.NEO4J,
        summary="The knowledge graph has lost nodes",
        description=f"Nodes that the database {{{{ $labels.database }}}} has left: {COUNT}, less than nine tenths of what "
        "it had within the hour; the fleet itself never deletes so many.",
        view=View.GRAPH,
        limits=("GRAPH_SHRUNK_RATIO", "GRAPH_NODES"),
        kept="10m",
    ),
)
