"""Meaning of a subject: family, kind, publishing service, and its form as a label value."""

from __future__ import annotations

import functools
from typing import NamedTuple

from exporter.metrics.metric import OTHER

FAMILIES = ("planning", "orchestration", "agent", "context", "workflow", "task", "vllm", "agile", OTHER)


class Known(NamedTuple):
    """`kind`: canonical event name; `label`: the subject without IDs; `producer`: derived from the subject."""

    kind: str
    family: str
    label: str
    producer: str
    outcome: str


_FAMILY_OF_FIRST = {family: family for family in FAMILIES} | {"deliberation": "orchestration", "ceremony": "planning"}

_SAME = {
    "context.updated": "context.events.updated",
    "deliberation.completed": "orchestration.deliberation.completed",
    "deliberation.failed": "orchestration.deliberation.failed",
    "agent.response.completed.backlog-review.role": "agent.response.completed",
}
"""Two subjects of the same kind."""

_WITH_ID = {"agent.results": "agent.response", "vllm.streaming": "vllm.streaming"}
"""Subjects that end in an ID, and their kinds."""

ONE_FOR_MANY = frozenset({"agile.events"})
"""Subjects of several kinds, distinguished by `event_type` in the body."""

_PRODUCERS = {
    "planning.backlog_review.deliberations": "backlog-review-processor",
    "planning.backlog_review.tasks": "backlog-review-processor",
    "planning": "planning-service",
    "orchestration": "orchestrator-service",
    "deliberation": "orchestrator-service",
    "agent.response": "ray-executor",
    "agent.results": "ray-executor",
    "agent.work": "workspace",
    "context": "context-service",
    "workflow": "workflow-service",
    "task.derivation": "task-derivation",
    "vllm": "ray-executor-service",
    "agile": "planning-service",
}

_ENDINGS = ("completed", "failed", "approved", "rejected", "complete")

_REMEMBERED = 4096

_LONGEST_LABEL = 120
"""Max. characters of a subject label; the fleet's own have at most 60."""


@functools.lru_cache(maxsize=_REMEMBERED)
def known(subject: str, event_type: str) -> Known:
    """The parsed subject; `event_type` is only used for ONE_FOR_MANY subjects."""
    parts = subject.split(".")
    first = parts[0]
    family = _FAMILY_OF_FIRST.get(first, OTHER)
    pair = ".".join(parts[:2])
    label, kind = subject, _SAME.get(subject, subject)
    if pair in _WITH_ID and len(parts) > 2:
        label, kind = f"{pair}.*", _WITH_ID[pair]
    elif subject in ONE_FOR_MANY and event_type:
        kind = f"agile.{event_type.lower()}"
    ending = next((part for part in reversed(parts) if part in _ENDINGS), "")
    outcome = "completed" if ending == "complete" else ending
    if pair == "orchestration.plan":  # repeats planning's own event
        outcome = "approved"
    if len(label) > _LONGEST_LABEL:
        label = f"{label[: _LONGEST_LABEL - 1]}…"
    producer = next((_PRODUCERS[".".join(parts[:n])] for n in (3, 2, 1) if ".".join(parts[:n]) in _PRODUCERS), "unknown")
    return Known(kind, family, label, producer, outcome)
