"""One task file → Task or Unreadable: pure, and nothing here raises.

Only the scalars at the top of the file are taken, from the parser's events: no object is ever built, so that tags do
nothing, aliases cannot multiply, and what stands deeper costs no more than its characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Column(StrEnum):
    """The folders that are the board."""

    INBOX = "inbox"
    ASSIGNED = "assigned"
    DONE = "done"


class Reason(StrEnum):
    """Why a file is no task."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_YAML = "not_yaml"
    NO_MAPPING = "no_mapping"
    SEVERAL_DOCUMENTS = "several_documents"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies: its column, the folder's agent in two of them, and its name without the ending."""

    column: Column
    agent: str
    stem: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task as its file has it; times in seconds since 1970, `estimate` in seconds."""

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

    @property
    def disagrees(self) -> bool:
        """Whether its status is not one of its folder's; the folder is the truth."""
        return self.status not in _STATUSES[self.column]

    @property
    def queued(self) -> float | None:
        """Seconds from creation to assignment."""
        return _span(self.created, self.assigned)

    @property
    def cycle(self) -> float | None:
        """Seconds from creation to completion."""
        return _span(self.created, self.completed)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no task."""

    reason: Reason


STATUSES: Final = ("new", "inbox", "assigned", "in_progress", "blocked", "done", "error")
PRIORITIES: Final = ("critical", "high", "medium", "normal", "low")
OTHER: Final = "other"
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
    """As the board's rules have it; statuses that they do not know are not judged."""
    return before == after or before not in _MOVES or after not in _MOVES or after in _MOVES[before]


def parsed(place: Place, data: bytes) -> Task | Unreadable:
    """The task in a file's content."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Unreadable(Reason.NOT_UTF8)
    if not text.strip():
        return Unreadable(Reason.EMPTY)
    try:
        found = _scalars(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return Unreadable(Reason.NOT_YAML)
    if isinstance(found, Reason):
        return Unreadable(found)
    hours = _number(found.get("estimated_hours") or found.get("estimated_effort_hours"))
    return Task(
        id=found.get("id", "")[:200] or place.stem,
        column=place.column,
        agent=place.agent or found.get("agent", "")[:100] or NONE,
        title=found.get("title", "")[:300],
        status=_status(found.get("status", "")),
        priority=_of(found.get("priority", ""), PRIORITIES),
        mode=found.get("mode", "")[:100],
        created=_seconds(found.get("created_at") or found.get("created")),
        assigned=_seconds(found.get("assigned_at")),
        started=_seconds(found.get("started_at")),
        completed=_seconds(found.get("completed_at")),
        estimate=None if hours is None else hours * 3600,
    )


def _scalars(text: str) -> dict[str, str] | Reason:
    """The scalars of the mapping at the top of the only document."""
    found: dict[str, str] = {}
    depth, documents, key = 0, 0, None
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                return Reason.SEVERAL_DOCUMENTS
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if depth == 0 and isinstance(event, yaml.SequenceStartEvent):
                return Reason.NO_MAPPING
            depth += 1
            if depth > 1:
                key = None
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent):
            if depth == 0:
                return Reason.NO_MAPPING
            if depth == 1:
                if key is None:
                    key = event.value
                else:
                    if event.value not in ("null", "~", ""):
                        found.setdefault(key, event.value)
                    key = None
        elif isinstance(event, yaml.AliasEvent) and depth == 1:
            key = None
    return found


def _status(text: str) -> str:
    lower = text.strip().lower().replace(" ", "_")
    return _of(_OLD_STATUSES.get(lower, lower), STATUSES)


def _of(text: str, known: tuple[str, ...]) -> str:
    lower = text.strip().lower()
    if not lower:
        return NONE
    return lower if lower in known else OTHER


def _seconds(text: str | None) -> float | None:
    """A time as seconds since 1970; without a zone it is UTC."""
    if not text or len(text) > 40:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e6 else None


def _span(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or after < before else after - before
