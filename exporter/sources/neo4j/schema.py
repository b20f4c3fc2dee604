"""The objects to count in a database, and their count-store queries. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_COUNTS_PER_QUERY: Final = 12
Pattern = tuple[str, str, str]
"""(start label, relationship type, end label); an empty part matches all; without a type, nodes of a label."""


def quoted(name: str) -> str:
    """A label or type, quoted for Cypher."""
    return "`" + name.replace("`", "``") + "`"


def _node(label: str) -> str:
    return f"(:{quoted(label)})" if label else "()"


def _match(pattern: Pattern) -> str:
    start, name, end = pattern
    return f"MATCH {_node(start)}-[:{quoted(name)}]->{_node(end)}" if name else f"MATCH {_node(start)}"


@dataclass(frozen=True)
class Schema:
    """The labels, the types, and the labels that a type's relationships start from and end at.

    Each query has few counts, because a plan is compiled once per text and takes time that grows faster than the number
    of its subqueries. New patterns come last, so that the texts of full queries stay the same.
    """

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any], *, limit: int, known: Schema | None = None) -> Schema:
        """The schema procedures' one row, in the order of the known schema; at most `limit` patterns at each end."""
        labels, types = sorted(record["labels"]), sorted(record["types"])
        names = {node.element_id: next(iter(node.labels), "") for node in record["nodes"]}
        starts: set[Pattern] = set()
        ends: set[Pattern] = set()
        for relationship in record["relationships"]:
            if relationship.start_node is not None and (label := names.get(relationship.start_node.element_id)):
                starts.add((label, relationship.type, ""))
            if relationship.end_node is not None and (label := names.get(relationship.end_node.element_id)):
                ends.add(("", relationship.type, label))
        # The procedure leaves out relationships with an unlabeled end: their types are counted with every label.
        shown = {name for _, name, _ in starts} & {name for _, name, _ in ends}
        for name in set(types) - shown:
            starts |= {(label, name, "") for label in labels}
            ends |= {("", name, label) for label in labels}
        found = dict.fromkeys(
            [
                *[(label, "", "") for label in labels],
                *[("", name, "") for name in types],
                *sorted(starts)[:limit],
                *sorted(ends)[:limit],
            ]
        )
        old = known.patterns if known else ()
        return cls(tuple(dict.fromkeys([*(pattern for pattern in old if pattern in found), *found])))

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(start for start, name, _ in self.patterns if not name)

    @property
    def types(self) -> frozenset[str]:
        return frozenset(name for start, name, end in self.patterns if name and not start and not end)

    @property
    def queries(self) -> list[str]:
        """Queries for the nodes, the relationships and every pattern, each read from the count store.

        Count subqueries of one node or one relationship with at most one labeled end never touch the graph; a pattern
        labeled at both ends would (`Counts.pairs` derives those).
        """
        counts = ["MATCH ()", "MATCH ()-[]->()", *map(_match, self.patterns)]
        parts = [counts[first : first + _COUNTS_PER_QUERY] for first in range(0, len(counts), _COUNTS_PER_QUERY)]
        return [f"RETURN [{', '.join(f'COUNT {{ {count} }}' for count in part)}] AS counts" for part in parts]

    def knows(self, labels: Iterable[str], types: Iterable[str]) -> bool:
        """Whether it has exactly these labels and types."""
        return self.labels == frozenset(labels) and self.types == frozenset(types)
