"""One message → Event or Unparsed. Pure, tolerant, no clock, never raises.

The fleet publishes two formats: bare payloads and envelopes, fields under two names, timestamps in eight formats.
Unknown values are None; a message that is not a JSON object is Unparsed, with a reason.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from exporter.events import subjects
from exporter.events.decoding import decoded
from exporter.events.timestamps import TIME_FIELDS, event_time, has_unreadable_time
from exporter.events.values import count, duration, error_text, identifier, is_unreadable_count, role_of, role_of_agent

LARGEST = 1024 * 1024
"""Max. bytes of a decoded body; the fleet's NATS servers reject larger ones."""


class Outcome(StrEnum):
    """Outcome of the reported work; NONE for events without one."""

    COMPLETED = "completed"
    FAILED = "failed"
    APPROVED = "approved"
    REJECTED = "rejected"
    NEEDS_HUMAN = "needs_human"
    NONE = "none"

    __hash__ = str.__hash__  # Enum's own is a Python function, called several times per event


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

RESPONSES = frozenset({"agent.response.completed", "agent.response.failed", "agent.response"})
"""Event kinds in which an agent reports the outcome of its task."""


class UnparsedReason(StrEnum):
    """Why a message could not be parsed."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"


class ValueField(StrEnum):
    """The field of an unparseable value."""

    TIME = "time"
    DURATION = "duration"
    TOKENS = "tokens"
    OTHER = "other"

    __hash__ = str.__hash__


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as received; sequence 0 and stream "" for plain subscriptions.

    `stored` is the server's time, or the time of receipt if the server reports none, in seconds since 1970.

    """

    subject: str
    data: bytes
    stored: float
    stream: str = ""
    sequence: int = 0


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event of the fleet. None is an absent value; IDs are cut, texts are not.

    `subject` is as published; `kind` is the canonical name of the event. `time` is the event's own time, if plausible
    compared with `stored`. `duration` is in seconds, `size` in bytes. `payload` is the decoded inner object: any shape,
    untrusted. `unreadable` names the fields whose values could not be parsed.

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
    unreadable: tuple[ValueField, ...] = ()


class Unparsed(msgspec.Struct, frozen=True, gc=False):
    """A message that could not be parsed."""

    subject: str
    reason: UnparsedReason
    size: int
    stream: str
    sequence: int
    stored: float


def parsed(message: Message) -> Event | Unparsed:  # noqa: C901, PLR0912, PLR0915 - one pass over the fields, the hot path
    """The event in a message."""
    data = message.data
    size = len(data)
    if not size:
        return _unparsed(message, UnparsedReason.EMPTY)
    if size > LARGEST:
        return _unparsed(message, UnparsedReason.TOO_LARGE)
    try:
        outer, dropped = decoded(data)
    except ValueError:
        return _unparsed(message, UnparsedReason.NOT_JSON)
    if type(outer) is not dict:
        return _unparsed(message, UnparsedReason.NOT_AN_OBJECT)
    body, envelope = outer, False
    inner = outer.get("payload")
    if type(inner) is dict and "idempotency_key" in outer:
        body, envelope = inner, True

    get = body.get
    constraints = _object(get("constraints"))
    metadata = _object(get("metadata")) or _object(constraints.get("metadata"))
    proposal = get("proposal")
    if type(proposal) is str and proposal.lstrip()[:1] == "{":
        proposal, dropped = _proposal(proposal, dropped)
    proposal = _object(proposal)
    task = identifier(metadata.get("task_id")) or identifier(get("task_id"))
    story = identifier(get("story_id")) or identifier(get("case_id")) or identifier(constraints.get("story_id"))
    ceremony = identifier(get("ceremony_id")) or identifier(metadata.get("ceremony_id"))
    role = role_of(get("role") or get("actor_role") or get("role_in_charge") or get("validator_role"))
    if task is not None and ":" in task:
        parts = _parts_of_task_id(task)
        ceremony = ceremony or parts.get("ceremony")
        story = story or parts.get("story")
        role = role or role_of(parts.get("role"))
    if story is None:
        story = identifier(metadata.get("story_id"))
    agent = identifier(get("agent_id")) or identifier(proposal.get("author_id"))
    if role is None and agent is not None:
        role = role_of_agent(agent)
    event_type = ""
    if message.subject in subjects.ONE_FOR_MANY:
        event_type = identifier(get("event_type") or outer.get("event_type")) or ""
    known = subjects.known(message.subject, event_type)
    stored = message.stored
    moment = event_time(body, stored)
    if moment is None and envelope:
        moment = event_time(outer, stored)
    milliseconds, tokens = get("duration_ms"), _tokens(proposal, body)
    seconds = duration(milliseconds)
    unreadable = [_FIELDS.get(name, ValueField.OTHER) for name in dropped] if dropped else []
    if seconds is None and milliseconds is not None:
        unreadable.append(ValueField.DURATION)
    if tokens is None and any(
        is_unreadable_count(value) for value in (proposal.get("tokens"), get("total_tokens"), get("tokens"))
    ):
        unreadable.append(ValueField.TOKENS)
    if moment is None and (has_unreadable_time(body) or (envelope and has_unreadable_time(outer))):
        unreadable.append(ValueField.TIME)
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
        seconds,
        tokens,
        identifier(get("model")) or identifier(proposal.get("model")),
        error_text(get("error")) or error_text(get("reason")) if "error" in body or "reason" in body else None,
        size,
        body,
        data,
        tuple(unreadable),
    )


def _unparsed(message: Message, reason: UnparsedReason) -> Unparsed:
    return Unparsed(message.subject, reason, len(message.data), message.stream, message.sequence, message.stored)


_NOTHING: dict[str, Any] = {}


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else _NOTHING


_FIELDS = dict.fromkeys(TIME_FIELDS, ValueField.TIME) | {
    "duration_ms": ValueField.DURATION,
    "tokens": ValueField.TOKENS,
    "total_tokens": ValueField.TOKENS,
}


def _proposal(text: str, dropped: frozenset[str]) -> tuple[Any, frozenset[str]]:
    """A proposal published as JSON text, and the fields dropped so far; None for any other text."""
    try:
        value, more = decoded(text)
    except ValueError:
        return None, dropped
    return value, dropped | more


def _parts_of_task_id(task: str) -> dict[str, str]:
    """The parts of `ceremony-C:story-S:role-R`; unknown parts are ignored."""
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
    outcome = _OUTCOMES.get(status.lower()) if type(status) is str else None
    return outcome or _OUTCOMES.get(by_subject, Outcome.NONE)


def _tokens(proposal: dict[str, Any], body: dict[str, Any]) -> int | None:
    return count(proposal.get("tokens")) or count(body.get("total_tokens")) or count(body.get("tokens"))
