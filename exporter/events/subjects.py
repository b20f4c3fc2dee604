"""What a subject means: family, kind, the service that publishes it, and the form of it that may be a label."""

from __future__ import annotations

import functools
from typing import NamedTuple

OTHER = "other"
"""What stands for a label value that is beyond a cap or of no known form."""

FAMILIES = ("planning", "orchestration", "agent", "context", "workflow", "task", "vllm", "agile", OTHER)


class Known(NamedTuple):
    """`kind`: one name for what happened; `label`: the subject without identifiers; `producer`: by the subject alone."""

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
"""One kind under two subjects."""

_WITH_ID = {"agent.results": "agent.response", "vllm.streaming": "vllm.streaming"}
"""Subjects that end in an identifier, and the kind they are."""

ONE_FOR_MANY = frozenset({"agile.events"})
"""Subjects that carry many kinds, told apart by the body's `event_type`."""

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
"""Characters of a subject that become a label; the fleet's own are at most 60 long."""


@functools.lru_cache(maxsize=_REMEMBERED)
def known(subject: str, event_type: str) -> Known:
    """All that the subject says; `event_type` counts only where the subject is ONE_FOR_MANY."""
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
    if pair == "orchestration.plan":  # an echo of planning's own event
        outcome = "approved"
    if len(label) > _LONGEST_LABEL:
        label = f"{label[: _LONGEST_LABEL - 1]}…"
    producer = next((_PRODUCERS[".".join(parts[:n])] for n in (3, 2, 1) if ".".join(parts[:n]) in _PRODUCERS), "unknown")
    return Known(kind, family, label, producer, outcome)
