"""Rows of count-store queries → samples: pure. Caps keep the largest; what is over is one row called `other`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from exporter.metrics.metric import Metric, Sample, Unit, gauge, info

OTHER: Final = "other"
ANY: Final = "*"
UNLABELED: Final = "(unlabeled)"
"""The end of relationships whose node has no label."""
_COUNTS_PER_QUERY: Final = 12
Pattern = tuple[str, str, str]
"""(label of the start, relationship type, label of the end)"""

INFO = info("neo4j_info", "Version and edition (dbms.components).", "server", "database", "version", "edition")
NODES = gauge("neo4j_nodes", "Nodes (count store).", "database")
RELATIONSHIPS = gauge("neo4j_relationships", "Relationships (count store).", "database")
LABEL_NODES = gauge("neo4j_label_nodes", "Nodes with a label (count store).", "database", "label")
TYPE_RELATIONSHIPS = gauge("neo4j_type_relationships", "Relationships of a type (count store).", "database", "type")
PATTERN_RELATIONSHIPS = gauge(
    "neo4j_pattern_relationships",
    "Relationships of a type by start and end label; * is any label, (unlabeled) is none (count store).",
    "database", "start", "type", "end",
)  # fmt: skip
LABELS = gauge("neo4j_labels", "Labels, including unused ones (db.labels).", "database")
TYPES = gauge("neo4j_relationship_types", "Relationship types, including unused ones (db.relationshipTypes).", "database")
TRANSACTIONS = gauge(
    "neo4j_transactions", "Open transactions, excluding the exporter's own (SHOW TRANSACTIONS).", "database"
)
LAST_CHANGE = gauge(
    "neo4j_counts_changed_timestamp_seconds", "Time of the last collection in which a count changed.", "database",
    unit=Unit.TIMESTAMP,
)  # fmt: skip

METRICS: Final[tuple[Metric, ...]] = (
    INFO, NODES, RELATIONSHIPS, LABEL_NODES, TYPE_RELATIONSHIPS, PATTERN_RELATIONSHIPS, LABELS, TYPES, TRANSACTIONS,
    LAST_CHANGE,
)  # fmt: skip


def quoted(name: str) -> str:
    """A label or type as Cypher takes it, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True)
class Schema:
    """What is there to count: labels, types, and which labels a type's relationships start from and end at."""

    labels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    starts: tuple[tuple[str, str], ...] = ()
    """(label, type) pairs"""
    ends: tuple[tuple[str, str], ...] = ()
    """(type, label) pairs"""

    @property
    def queries(self) -> list[str]:
        """Queries for every count, each answered by the count store: together a list in the order of `Counts.of`.

        A query has few counts, because its plan is compiled once per text and takes time that grows faster than the
        number of its subqueries.

        Count subqueries of one node or one relationship with at most one labelled end never touch the graph; a pattern
        labelled at both ends would (`patterns` tells how those are known all the same).
        """
        counts = ["MATCH (n)", "MATCH ()-[r]->()"]
        counts += [f"MATCH (n:{quoted(label)})" for label in self.labels]
        counts += [f"MATCH ()-[r:{quoted(name)}]->()" for name in self.types]
        counts += [f"MATCH (:{quoted(label)})-[r:{quoted(name)}]->()" for label, name in self.starts]
        counts += [f"MATCH ()-[r:{quoted(name)}]->(:{quoted(label)})" for name, label in self.ends]
        parts = [counts[first : first + _COUNTS_PER_QUERY] for first in range(0, len(counts), _COUNTS_PER_QUERY)]
        return [f"RETURN [{', '.join(f'COUNT {{ {count} }}' for count in part)}] AS counts" for part in parts]


@dataclass(frozen=True)
class Counts:
    """The counts of one reading, by what they count."""

    nodes: int
    relationships: int
    labels: dict[str, int]
    types: dict[str, int]
    starts: dict[tuple[str, str], int]
    ends: dict[tuple[str, str], int]

    @classmethod
    def of(cls, schema: Schema, row: Sequence[int]) -> Counts:
        """The list that `Schema.queries` give together. Raises ValueError when it has another length."""
        rest = iter(row)
        nodes, relationships = next(rest), next(rest)
        groups = (schema.labels, schema.types, schema.starts, schema.ends)
        if len(row) != 2 + sum(len(group) for group in groups):
            raise ValueError(f"expected one count per label, type and pattern, got {len(row)} counts")
        labels, types, starts, ends = (dict(zip(group, islice(rest, len(group)), strict=True)) for group in groups)
        return cls(nodes, relationships, labels, types, starts, ends)  # type: ignore[arg-type]

    def patterns(self) -> dict[Pattern, int]:
        """Relationships by (start label, type, end label), as far as the count store can tell.

        It counts one labeled end at a time. If all relationships of a type start from nodes with a label, the count per
        end label is the pattern, and vice versa; nodes with several labels give a pattern for each. If both ends are
        mixed, the two sides are separate patterns, the other side being `*`.
        """
        found: dict[Pattern, int] = {}
        for name, total in self.types.items():
            starts = {label: count for (label, kind), count in self.starts.items() if kind == name and count}
            ends = {label: count for (kind, label), count in self.ends.items() if kind == name and count}
            for side in (starts, ends):
                # With several labels per node the sum can reach the total although some nodes have none.
                if (unlabeled := total - sum(side.values())) > 0:
                    side[UNLABELED] = unlabeled
            sole_starts = [label for label, count in starts.items() if count == total]
            sole_ends = [label for label, count in ends.items() if count == total]
            found |= {(start, name, end): count for start in sole_starts for end, count in ends.items()}
            found |= {(start, name, end): count for end in sole_ends for start, count in starts.items()}
            if not sole_starts and not sole_ends:
                found |= {(start, name, ANY): count for start, count in starts.items()}
                found |= {(ANY, name, end): count for end, count in ends.items()}
        return found


def capped(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """The largest `limit` counts, the rest summed as `other`."""
    if len(counts) <= limit:
        return dict(counts)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {**dict(ranked[:limit]), OTHER: sum(count for _, count in ranked[limit:])}


def capped_patterns(counts: Mapping[Pattern, int], limit: int) -> dict[Pattern, int]:
    """As `capped`, for patterns."""
    if len(counts) <= limit:
        return dict(counts)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {**dict(ranked[:limit]), (OTHER, OTHER, OTHER): sum(count for _, count in ranked[limit:])}


def count_samples(database: str, counts: Counts, *, max_labels: int, max_types: int, max_patterns: int) -> Iterable[Sample]:
    """Every count of one database."""
    yield NODES(counts.nodes, database=database)
    yield RELATIONSHIPS(counts.relationships, database=database)
    for label, count in capped(counts.labels, max_labels).items():
        yield LABEL_NODES(count, database=database, label=label)
    for name, count in capped(counts.types, max_types).items():
        yield TYPE_RELATIONSHIPS(count, database=database, type=name)
    for (start, name, end), count in capped_patterns(counts.patterns(), max_patterns).items():
        yield PATTERN_RELATIONSHIPS(count, database=database, start=start, type=name, end=end)
