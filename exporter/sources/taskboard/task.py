"""One task file → Task or Unreadable: pure, and nothing here raises.

The file is read from the YAML parser's events and only top-level scalars are kept: no object is built, so that tags have no
effect and aliases cannot multiply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import yaml

from exporter.metrics.metric import OTHER
from exporter.metrics.timestamps import instant

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Column(StrEnum):
    """The folders of the board."""

    INBOX = "inbox"
    ASSIGNED = "assigned"
    DONE = "done"


class UnreadableReason(StrEnum):
    """Why a file is not a task."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_YAML = "not_yaml"
    NO_MAPPING = "no_mapping"
    SEVERAL_DOCUMENTS = "several_documents"
    UNREACHABLE = "unreachable"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class TaskLocation:
    """Where a file is: its column, the agent's folder if any, and its name without the ending."""

    column: Column
    agent: str
    stem: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task file's fields; times in seconds since 1970, `estimate` in seconds."""

    id: str
    column: Column
    agent: str
    title: str
    status: str
    priority: str
    mode: str
    created: float | None
    assigned: float | None
    started: float | None
    completed: float | None
    estimate: float | None
    unreadable: tuple[str, ...] = ()
    """Fields with a value that cannot be parsed."""

    @property
    def status_mismatch(self) -> bool:
        """Whether its status is not valid in its folder; the folder is the truth."""
        return self.status not in _STATUSES[self.column]

    @property
    def queued(self) -> float | None:
        """Seconds from creation to assignment."""
        return _span(self.created, self.assigned)

    @property
    def cycle(self) -> float | None:
        """Seconds from creation to completion."""
        return _span(self.created, self.completed)

    @property
    def is_misordered(self) -> bool:
        """Whether it was assigned or completed before it was created, by its own times."""
        times = [moment for moment in (self.assigned, self.completed) if moment is not None]
        return self.created is not None and any(moment < self.created for moment in times)


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that is not a task."""

    reason: UnreadableReason


STATUSES: Final = ("new", "inbox", "assigned", "in_progress", "blocked", "done", "error")
PRIORITIES: Final = ("critical", "high", "medium", "normal", "low")
NONE: Final = "none"

_OLD_STATUSES: Final = {"pending": "new", "completed": "done", "in-progress": "in_progress", "inprogress": "in_progress"}
_STATUSES: Final = {
    Column.INBOX: frozenset({"new", "inbox"}),
    Column.ASSIGNED: frozenset({"assigned", "in_progress", "blocked"}),
    Column.DONE: frozenset({"done", "error"}),
}
_MOVES: Final = {
    "new": {"inbox", "assigned"},
    "inbox": {"assigned"},
    "assigned": {"in_progress", "blocked", "inbox"},
    "in_progress": {"done", "error", "blocked"},
    "blocked": {"in_progress", "assigned"},
    "done": set(),
    "error": set(),
}


def move_is_legal(before: str, after: str) -> bool:
    """Whether the board's rules allow it; unknown statuses are allowed."""
    return before == after or before not in _MOVES or after not in _MOVES or after in _MOVES[before]


def parsed(place: TaskLocation, data: bytes) -> Task | UnreadableFile:
    """The task in a file's content."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return UnreadableFile(UnreadableReason.NOT_UTF8)
    if not text.strip():
        return UnreadableFile(UnreadableReason.EMPTY)
    try:
        found = _scalars(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return UnreadableFile(UnreadableReason.NOT_YAML)
    if isinstance(found, UnreadableReason):
        return UnreadableFile(found)
    unreadable: list[str] = []

    def moment(*names: str) -> float | None:
        for name in names:
            if text := found.get(name):
                seconds = instant(text)[0]
                if seconds is not None:
                    return seconds
                unreadable.append(name)
        return None

    return Task(
        id=found.get("id", "")[:200] or place.stem,
        column=place.column,
        agent=place.agent or found.get("agent", "")[:100] or NONE,
        title=found.get("title", "")[:300],
        status=_status(found.get("status", "")),
        priority=_of(found.get("priority", ""), PRIORITIES),
        mode=found.get("mode", "")[:100],
        created=moment("created_at", "created"),
        assigned=moment("assigned_at"),
        started=moment("started_at"),
        completed=moment("completed_at"),
        estimate=_estimate(found, unreadable),
        unreadable=tuple(unreadable),
    )


@dataclass(slots=True)
class _OpenNode:
    """A mapping or sequence that the parser is in."""

    is_mapping: bool
    anchor: str | None
    key: str | None = None
    has_key: bool = False
    scalars: dict[str, str] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)
    merged: Any = None

    def take(self, value: Any) -> None:
        """The next value in it; of duplicate keys the last counts, as for the board's own loader."""
        if not self.is_mapping:
            self.items.append(value)
        elif not self.has_key:
            self.key, self.has_key = value if isinstance(value, str) else None, True
        else:
            if self.key == "<<":
                self.merged = value
            elif self.key is not None:
                self.scalars.pop(self.key, None)
                if isinstance(value, str):
                    self.scalars[self.key] = value
            self.has_key = False


def _scalars(text: str) -> dict[str, str] | UnreadableReason:  # noqa: C901, PLR0912 - one branch per kind of YAML event
    """The scalars of the only document's top-level mapping, including merged ones (`<<`)."""
    anchors: dict[str, Any] = {}
    nodes: list[_OpenNode] = []
    root: _OpenNode | None = None
    documents = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                return UnreadableReason.SEVERAL_DOCUMENTS
            continue
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            if not nodes and not is_mapping:
                return UnreadableReason.NO_MAPPING
            nodes.append(_OpenNode(is_mapping, event.anchor))
            if event.anchor:
                anchors[event.anchor] = None
            continue
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            node = nodes.pop()
            value: Any = node.scalars if node.is_mapping else node.items
            if node.anchor:
                anchors[node.anchor] = value
            if not nodes:
                root = node
                continue
        elif isinstance(event, yaml.ScalarEvent):
            value = None if event.implicit[0] and event.value in ("null", "~", "") else event.value
            if event.anchor:
                anchors[event.anchor] = value
            if not nodes:
                return UnreadableReason.EMPTY if value is None else UnreadableReason.NO_MAPPING
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                return UnreadableReason.NOT_YAML
            value = anchors[event.anchor]
        else:
            continue
        nodes[-1].take(value)
    if root is None:
        return UnreadableReason.EMPTY
    found: dict[str, str] = {}
    merged = root.merged if isinstance(root.merged, list) else [root.merged]
    for one in {id(one): one for one in merged if isinstance(one, dict)}.values():
        found = one | found  # of several that are merged the first counts
    return found | root.scalars


def _status(text: str) -> str:
    lower = text.strip().lower().replace(" ", "_")
    return _of(_OLD_STATUSES.get(lower, lower), STATUSES)


def _of(text: str, known: tuple[str, ...]) -> str:
    lower = text.strip().lower()
    if not lower:
        return NONE
    return lower if lower in known else OTHER


_ESTIMATES: Final = ("estimated_hours", "estimated_effort_hours")
_ESTIMATE: Final = re.compile(
    r"~?\s*(\d{1,6}(?:\.\d{1,6})?)(?:\s*(?:-|–|to)\s*(\d{1,6}(?:\.\d{1,6})?))?"  # noqa: RUF001 - the dash of a range
    r"\s*(?:(m|mins?|minutes?)|(h|hrs?|hours?)|(d|days?)|(w|weeks?))?",
    re.IGNORECASE | re.ASCII,
)
_UNITS: Final = (60.0, 3600.0, 8 * 3600.0, 40 * 3600.0)
"""Seconds of work in a minute, an hour, a day and a week."""


def _estimate(found: dict[str, str], unreadable: list[str]) -> float | None:
    """Seconds of work: hours unless a unit is given; a range is its mean."""
    for name in _ESTIMATES:
        if text := found.get(name, "").strip():
            match = _ESTIMATE.fullmatch(text)
            if match is None:
                unreadable.append(name)
                continue
            low = float(match[1])
            high = float(match[2] or low)
            unit = next((seconds for seconds, given in zip(_UNITS, match.groups()[2:], strict=True) if given), 3600.0)
            return (low + high) / 2 * unit
    return None


def _span(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or after < before else after - before
