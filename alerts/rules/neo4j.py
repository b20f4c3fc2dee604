"""Neo4j: unreachable, or losing graph data."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, Severity
from alerts.rules import sources
from alerts.thresholds import GRAPH_NODES, GRAPH_SHRUNK_RATIO
from exporter.metrics.promql import series
from exporter.sources.neo4j import counts

_NODES = series(counts.NODES)
_MOST = _NODES.max_over("1h")

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "Neo4jDown",
        "neo4j",
        Component.NEO4J,
        "Neo4j is unreachable",
        DashboardUid.GRAPH,
        catches="A Neo4j server that is down, out of connections, or has a new password.",
    ),
    AlertingRule(
        name="Neo4jGraphShrinking",
        query=(_NODES < _MOST * GRAPH_SHRUNK_RATIO) & (_MOST >= GRAPH_NODES),
        severity=Severity.CRITICAL,
        component=Component.NEO4J,
        summary="Knowledge graph lost nodes",
        catches="A DETACH DELETE with a wrong WHERE clause, while the last backup is still useful.",
        description=f"Database {{{{ $labels.database }}}} has {COUNT} nodes left, fewer than 90% of its maximum in the last "
        "hour; the fleet never deletes that many.",
        view=DashboardUid.GRAPH,
        limits=("GRAPH_SHRUNK_RATIO", "GRAPH_NODES"),
        keep_firing_for="10m",
    ),
)
