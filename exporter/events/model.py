"""One message → Event or Unparsed: pure, tolerant, no clock. Nothing here raises.

Two eras of the fleet speak at once: payloads come bare or in an envelope, fields under two names, times in eight shapes.
What cannot be understood is None; what is no JSON object at all is Unparsed, with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from exporter.events import subjects
from exporter.events.timestamps import event_time

LARGEST = 1024 * 1024
"""Bytes of a body that is still decoded; the fleet's own servers refuse larger ones."""

_LONGEST_ID = 200
_LONGEST_ERROR = 500


class Outcome(StrEnum):
    """How what an event tells of has ended; NONE for events that tell of no end."""

    COMPLETED = "completed"
    FAILED = "failed"
    APPROVED = "approved"
    REJECTED = "rejected"
    NEEDS_HUMAN = "needs_human"
    NONE = "none"

    __hash__ = str.__hash__  # an Enum's own is a Python function, called for every event several times


_OUTCOMES = {
    "completed": Outcome.COMPLETED,
    "complete": Outcome.COMPLETED,
    "success": Outcome.COMPLETED,
    "succeeded": Outcome.COMPLETED,
    "ok": Outcome.COMPLETED,
    "done": Outcome.COMPLETED,
    "failed": Outcome.FAILED,
    "failure": Outcome.FAILED,
    "error": Outcome.FAILED,
    "timeout": Outcome.FAILED,
    "approved": Outcome.APPROVED,
    "rejected": Outcome.REJECTED,
    "needs_human": Outcome.NEEDS_HUMAN,
}

_ROLES = {
    "DEVELOPER": "DEV",
    "DEV": "DEV",
    "TESTER": "QA",
    "QA": "QA",
    "ARCHITECT": "ARCHITECT",
    "ARCH": "ARCHITECT",
    "DEVOPS": "DEVOPS",
    "OPS": "DEVOPS",
    "DATA": "DATA",
    "PO": "PO",
    "PRODUCT_OWNER": "PO",
}
ROLES = tuple(dict.fromkeys(_ROLES.values()))
"""The roles that the fleet is known to have; others are taken as they come, in capitals."""


UNKNOWN_ROLE = "unknown"
"""The label of what has no role, or none that was said."""


ANSWERS = frozenset({"agent.response.completed", "agent.response.failed", "agent.response"})
"""Kinds of event by which an agent tells how it did what it was asked."""


class Unreadable(StrEnum):
    """Why a message is no event."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as it was read; sequence 0 and stream "" where it came outside any stream's numbering.

    `stored` is when the server stored it, or when it was seen where the server does not say: seconds since 1970.
    """

    subject: str
    data: bytes
    stored: float
    stream: str = ""
    sequence: int = 0


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of the fleet. None is "not said"; texts that people wrote are not cut here, identifiers are.

    `subject` is as published, `kind` the one name of what happened, whichever of its names was used. `time` is when it
    happened by its own account, only where that is believable beside `stored`. `duration` is in seconds, `size` in
    bytes. `payload` is the body's inner object as decoded: of any shape, never to be trusted.
    """

    subject: str
    kind: str
    family: str
    stream: str
    sequence: int
    stored: float
    time: float | None
    producer: str
    story: str | None
    plan: str | None
    task: str | None
    agent: str | None
    role: str | None
    ceremony: str | None
    deliberation: str | None
    outcome: Outcome
    duration: float | None
    tokens: int | None
    model: str | None
    error: str | None
    size: int
    payload: dict[str, Any]
    data: bytes


class Unparsed(msgspec.Struct, frozen=True, gc=False):
    """A message that is no event."""

    subject: str
    reason: Unreadable
    size: int
    stream: str
    sequence: int
    stored: float


_decode = msgspec.json.Decoder().decode


def parsed(message: Message) -> Event | Unparsed:
    """The event that a message tells of."""
    data = message.data
    size = len(data)
    if not size:
        return _unparsed(message, Unreadable.EMPTY)
    if size > LARGEST:
        return _unparsed(message, Unreadable.TOO_LARGE)
    try:
        outer = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unparsed(message, Unreadable.NOT_JSON)
    if type(outer) is not dict:
        return _unparsed(message, Unreadable.NOT_AN_OBJECT)
    body, envelope = outer, False
    inner = outer.get("payload")
    if type(inner) is dict and "idempotency_key" in outer:
        body, envelope = inner, True

    get = body.get
    constraints = _object(get("constraints"))
    metadata = _object(get("metadata")) or _object(constraints.get("metadata"))
    proposal = _object(get("proposal"))
    task = identifier(metadata.get("task_id")) or identifier(get("task_id"))
    story = identifier(get("story_id")) or identifier(get("case_id")) or identifier(constraints.get("story_id"))
    ceremony = identifier(get("ceremony_id")) or identifier(metadata.get("ceremony_id"))
    role = role_of(get("role") or get("actor_role") or get("role_in_charge") or get("validator_role"))
    if task is not None and ":" in task:
        told = _told_by_task(task)
        ceremony = ceremony or told.get("ceremony")
        story = story or told.get("story")
        role = role or role_of(told.get("role"))
    if story is None:
        story = identifier(metadata.get("story_id"))
    agent = identifier(get("agent_id")) or identifier(proposal.get("author_id"))
    if role is None and agent is not None:
        role = _role_of_agent(agent)
    event_type = ""
    if message.subject in subjects.ONE_FOR_MANY:
        event_type = identifier(get("event_type") or outer.get("event_type")) or ""
    known = subjects.known(message.subject, event_type)
    stored = message.stored
    moment = event_time(body, stored)
    if moment is None and envelope:
        moment = event_time(outer, stored)
    return Event(
        message.subject,
        known.kind,
        known.family,
        message.stream,
        message.sequence,
        stored,
        moment,
        identifier(outer.get("producer")) or known.producer,
        story,
        identifier(get("plan_id")) or identifier(constraints.get("plan_id")),
        task,
        agent,
        role,
        ceremony,
        identifier(get("deliberation_id")),
        _outcome(body, known.outcome),
        duration(get("duration_ms")),
        _count(proposal.get("tokens")) or _count(get("total_tokens")) or _count(get("tokens")),
        identifier(get("model")) or identifier(proposal.get("model")),
        _error(get("error")) or _error(get("reason")) if "error" in body or "reason" in body else None,
        size,
        body,
        data,
    )


def _unparsed(message: Message, reason: Unreadable) -> Unparsed:
    return Unparsed(message.subject, reason, len(message.data), message.stream, message.sequence, message.stored)


_NOTHING: dict[str, Any] = {}


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else _NOTHING


def identifier(value: Any) -> str | None:
    """A text or number as an identifier, at most 200 characters; None for null, empty, true, lists and the like."""
    if value is None:
        return None
    if type(value) is str:
        return value[:_LONGEST_ID].strip() or None
    if type(value) in (int, float) and abs(value) < 1e18:  # NaN is not
        return str(int(value)) if value == int(value) else str(value)
    return None


def role_of(value: Any) -> str | None:
    """A role under its one name, in capitals."""
    if type(value) is not str or not value or len(value) > 40:
        return None
    upper = value.strip().upper()
    return _ROLES.get(upper) or ("_".join(upper.replace("-", " ").split()) or None)


def _role_of_agent(agent: str) -> str | None:
    """`agent-dev-002` is a DEV; only roles that are known are believed."""
    parts = agent.split("-")
    return _ROLES.get(parts[1].upper()) if len(parts) > 2 and parts[0] == "agent" else None


def _told_by_task(task: str) -> dict[str, str]:
    """`ceremony-C:story-S:role-R` in its parts; a part of no known name is passed over."""
    found = {}
    for part in task.split(":"):
        name, dash, value = part.partition("-")
        if dash and value and name in ("ceremony", "story", "role"):
            found[name] = value
    return found


def _outcome(body: dict[str, Any], by_subject: str) -> Outcome:
    if body.get("success") is False:
        return Outcome.FAILED
    status = body.get("status")
    told = _OUTCOMES.get(status.lower()) if type(status) is str else None
    return told or _OUTCOMES.get(by_subject, Outcome.NONE)


_LONGEST_DURATION = 30 * 86400.0


def duration(milliseconds: Any) -> float | None:
    """Milliseconds as seconds; None for what is no duration: negative, endless, longer than a month, a text."""
    if type(milliseconds) not in (int, float):
        return None
    return milliseconds / 1000.0 if 0 <= milliseconds <= _LONGEST_DURATION * 1000 else None


def _count(value: Any) -> int | None:
    return int(value) if type(value) in (int, float) and 0 < value < 1e12 else None


def _error(value: Any) -> str | None:
    return value[:_LONGEST_ERROR] if type(value) is str and value else None


def objects(value: Any, limit: int = 100) -> Iterable[dict[str, Any]]:
    """The objects in a list; nothing for anything else."""
    return (item for item in value[:limit] if type(item) is dict) if type(value) is list else ()
