"""Results of the count store → counts → samples: pure. Above a limit the largest counts are kept; the rest is `other`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from exporter.metrics.metric import OTHER, Metric, Sample, Unit, gauge, info
from exporter.sources.neo4j.schema import Pattern, Schema

ANY: Final = "*"
UNLABELED: Final = "(unlabeled)"
"""Label of the end of a relationship whose node has no label."""
K = TypeVar("K", bound=Hashable)

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


@dataclass(frozen=True)
class GraphLimits:
    """Max. labels, types and patterns."""

    labels: int
    types: int
    patterns: int


@dataclass(frozen=True)
class GraphCounts:
    """Counts of one database, within the limits."""

    nodes: int
    relationships: int
    labels: Mapping[str, int]
    types: Mapping[str, int]
    patterns: Mapping[Pattern, int]
    """Relationships by (start label, type, end label)."""


@dataclass(frozen=True)
class PatternCounts:
    """The count of every pattern with at most one labeled end."""

    nodes: int
    relationships: int
    by_pattern: Mapping[Pattern, int]

    @classmethod
    def of_statistics(cls, result: Mapping[str, Any]) -> PatternCounts:
        """The row of db.stats.retrieve('GRAPH COUNTS') with all labels and types. Raises ValueError without totals."""
        found: dict[Pattern, int] = {(label, "", ""): 0 for label in result["labels"]}
        found |= {("", name, ""): 0 for name in result["types"]}
        for row in result["nodes"]:
            found[row.get("label", ""), "", ""] = row["count"]
        totals = ("", "", "")
        nodes = found.pop(totals, None)
        for row in result["relationships"]:
            found[row.get("startLabel", ""), row.get("relationshipType", ""), row.get("endLabel", "")] = row["count"]
        relationships = found.pop(totals, None)
        if nodes is None or relationships is None:
            raise ValueError("expected the count of all nodes and of all relationships, got none")
        return cls(nodes, relationships, found)

    @classmethod
    def of_queries(cls, schema: Schema, row: Sequence[int]) -> PatternCounts:
        """The lists that `Schema.queries` give, joined. Raises ValueError if there is not one count per pattern."""
        if len(row) != 2 + len(schema.patterns):
            raise ValueError(f"expected one count per label, type and pattern, got {len(row)} counts")
        return cls(row[0], row[1], dict(zip(schema.patterns, row[2:], strict=True)))

    @property
    def labels(self) -> dict[str, int]:
        return {start: count for (start, name, _), count in self.by_pattern.items() if not name}

    @property
    def types(self) -> dict[str, int]:
        return {name: count for (start, name, end), count in self.by_pattern.items() if name and not (start or end)}

    def uncounted(self) -> dict[str, tuple[int, int]]:
        """For each type, how many relationships no known start label, and no known end label, accounts for.

        Negative if nodes have several labels. A change means that the type has new labels at its ends.
        """
        starts, ends = dict.fromkeys(self.types, 0), dict.fromkeys(self.types, 0)
        for (start, name, end), count in self.by_pattern.items():
            if name and start:
                starts[name] += count
            elif name and end:
                ends[name] += count
        return {name: (total - starts[name], total - ends[name]) for name, total in self.types.items()}

    def pairs(self) -> dict[Pattern, int]:
        """Relationships by (start label, type, end label), as far as the count store determines them.

        It counts one labeled end at a time. If all relationships of a type start from nodes with a label, the count per
        end label is the pattern, and vice versa; nodes with several labels give a pattern for each. If both ends are
        mixed, the two sides are separate patterns, the other side being `*`.

        """
        found: dict[Pattern, int] = {}
        for name, total in self.types.items():
            one_ended = [
                (start, end, count) for (start, kind, end), count in self.by_pattern.items() if kind == name and count
            ]
            starts = {start: count for start, _, count in one_ended if start}
            ends = {end: count for _, end, count in one_ended if end}
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

    def limited(self, limits: GraphLimits) -> GraphCounts:
        """The largest counts, the rest as `other`."""
        return GraphCounts(
            nodes=self.nodes,
            relationships=self.relationships,
            labels=largest(self.labels, limits.labels, OTHER),
            types=largest(self.types, limits.types, OTHER),
            patterns=largest(self.pairs(), limits.patterns, (OTHER, OTHER, OTHER)),
        )


def largest(counts: Mapping[K, int], limit: int, rest: K) -> dict[K, int]:
    """The largest `limit` counts, and the sum of the others under `rest`."""
    if len(counts) <= limit:
        return dict(counts)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {**dict(ranked[:limit]), rest: sum(count for _, count in ranked[limit:])}


def samples(database: str, counts: GraphCounts) -> Iterable[Sample]:
    """Every count of one database."""
    yield NODES(counts.nodes, database=database)
    yield RELATIONSHIPS(counts.relationships, database=database)
    for label, count in counts.labels.items():
        yield LABEL_NODES(count, database=database, label=label)
    for name, count in counts.types.items():
        yield TYPE_RELATIONSHIPS(count, database=database, type=name)
    for (start, name, end), count in counts.patterns.items():
        yield PATTERN_RELATIONSHIPS(count, database=database, start=start, type=name, end=end)
