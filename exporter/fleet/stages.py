"""Stories and tasks by stage, their time in stage, and invalid transitions. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from exporter.events.model import RESPONSES, Event, Outcome
from exporter.events.values import identifier
from exporter.fleet.limits import Capped, LabelLimiter
from exporter.metrics.histogram import Histogram

SECONDS = (
    0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0,
    28800.0, 86400.0, 259200.0, 604800.0,
)  # fmt: skip
LEAD_SECONDS = (60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 259200.0, 604800.0, 1209600.0)
_STAGES = 32
"""Max. stage names used as labels; the fleet's services use fewer."""
_FORGOTTEN = 7 * 86400.0

STORY_STAGES = ("BACKLOG", "DRAFT", "DESIGN", "BUILD", "TEST", "DOCS", "DONE")
"""The stages of a story in order. Other stages (PLANNED, READY_FOR_EXECUTION) have no defined order."""

TASK_MOVES = {
    "todo": ("implementing",),
    "implementing": ("dev_completed",),
    "dev_completed": ("pending_arch_review",),
    "pending_arch_review": ("arch_reviewing",),
    "arch_reviewing": ("arch_approved", "arch_rejected"),
    "arch_approved": ("pending_qa",),
    "arch_rejected": ("implementing",),
    "pending_qa": ("qa_testing",),
    "qa_testing": ("qa_passed", "qa_failed"),
    "qa_passed": ("pending_po_approval",),
    "qa_failed": ("implementing",),
    "pending_po_approval": ("po_approved", "implementing"),
    "po_approved": ("done",),
    "done": (),
    "cancelled": (),
}
"""The workflow's stages and their valid successors; `cancelled` can follow any stage that is not final."""


def story_move_is_legal(before: str, after: str) -> bool:
    """Valid transitions: one step forward, or any steps back for rework; DONE is final. Stages without an order are not
    checked.
    """
    if before not in STORY_STAGES or after not in STORY_STAGES:
        return True
    if before == STORY_STAGES[-1]:
        return False
    return after in STORY_STAGES[: STORY_STAGES.index(before)] or (before, after) in tuple(pairwise(STORY_STAGES))


def task_move_is_legal(before: str, after: str) -> bool:
    """Valid transitions of the workflow; other stages are not checked."""
    if before not in TASK_MOVES or after not in TASK_MOVES:
        return True
    return after in TASK_MOVES[before] or (after == "cancelled" and bool(TASK_MOVES[before]))


@dataclass(slots=True)
class Staged:
    """A story or task with its stage and the start of the stage, in seconds since 1970; `story` and `role` if known."""

    id: str
    stage: str
    since: float
    seen: float
    story: str | None = None
    plan: str | None = None
    role: str | None = None
    title: str | None = None
    moves: int = 0
    created: float | None = None
    """When it was created, in seconds since 1970, if an event says so."""


class Stages:
    """All stories or all tasks, at most `limit`; beyond `_STAGES` names, stages count as `other`."""

    def __init__(self, limit: int, known: tuple[str, ...]) -> None:
        self.things: Capped[str, Staged] = Capped(limit)
        self.names = LabelLimiter(_STAGES, known)
        self.moves: Counter[tuple[str, str]] = Counter()
        self.illegal = 0
        self.seconds: dict[str, Histogram] = {}

    def enter(self, name: str, stage: str, event: Event) -> Staged | None:
        """Set the stage without checking the transition; keeps the start time if the stage is unchanged."""
        at = event.time or event.stored
        thing = self.things.touch(name, event.stored)
        if thing is None:
            thing = Staged(name, stage, since=at, seen=event.stored)
            if not self.things.add(name, thing):
                return None
            self.names(stage)
        elif thing.stage != stage:
            self._leave(thing, at)
            self.moves[self.names.label(thing.stage), self.names(stage)] += 1
            thing.stage, thing.since, thing.moves = stage, at, thing.moves + 1
        thing.story = event.story or thing.story
        thing.role = event.role or thing.role
        thing.plan = event.plan or thing.plan
        return thing

    def move(self, name: str, before: str | None, after: str, event: Event, *, legal: bool) -> None:
        """Apply a transition from an event. The event's previous stage takes precedence over the known one."""
        if self.things.get(name) is None and before and before != after:
            # First event of this item: its time in the previous stage is unknown.
            if self.enter(name, after, event) is None:
                return
            self.moves[self.names(before), self.names.label(after)] += 1
        else:
            self.enter(name, after, event)
        self.illegal += not legal

    def start_counting(self) -> None:
        """Set all counters to zero; items stay in their stages."""
        self.moves = Counter(dict.fromkeys(self.moves, 0))
        self.illegal = 0
        for distribution in self.seconds.values():
            distribution.clear()

    def _leave(self, thing: Staged, at: float) -> None:
        if at < thing.since:
            return
        stage = self.names.label(thing.stage)
        distribution = self.seconds.get(stage)
        if distribution is None:
            distribution = self.seconds[stage] = Histogram(SECONDS)
        distribution.observe(at - thing.since)

    def by_stage(self) -> dict[str, tuple[int, float]]:
        """stage → (number of items, start time of the oldest)."""
        found: dict[str, tuple[int, float]] = {}
        for thing in self.things:
            stage = self.names.label(thing.stage)
            count, since = found.get(stage, (0, thing.since))
            found[stage] = (count + 1, min(since, thing.since))
        return found

    def shift(self, seconds: float) -> None:
        """Shift the times that expiry depends on, after a clock change."""
        self.things.shift(seconds)

    def expire(self, now: float) -> None:
        self.things.expire(now, _FORGOTTEN)


STORY_MOVES = frozenset({"planning.story.transitioned", "orchestration.phase.changed", "agile.transition"})
"""Event kinds that report a story transition."""
_CREATIONS = frozenset({"planning.story.created", "agile.case_created"})
_STORY_KINDS = STORY_MOVES | _CREATIONS | {"planning.plan.approved"}


class Stories(Stages):
    def __init__(self, limit: int) -> None:
        super().__init__(limit, STORY_STAGES)
        self.lead_times = Histogram(LEAD_SECONDS)
        """Times from creation to the final stage of the stories whose creation is known."""

    def start_counting(self) -> None:
        super().start_counting()
        self.lead_times.clear()

    def apply(self, event: Event) -> None:
        if event.story is None or event.kind not in _STORY_KINDS:
            return
        kind, body = event.kind, event.payload
        if kind in _CREATIONS:
            story = self.things.get(event.story) or self.enter(
                event.story, _stage(body, "phase", "state") or "BACKLOG", event
            )
            if story is not None:
                story.title = identifier(body.get("title")) or story.title
                if story.created is None:
                    story.created = event.time or event.stored
        elif kind in STORY_MOVES:
            before = _stage(body, "from_state", "from_phase", "from")
            after = _stage(body, "to_state", "to_phase", "to")
            if after is None:
                return
            before = before.upper() if before else None
            known = self.things.get(event.story)
            if kind == "orchestration.phase.changed" and known is not None and known.stage == after.upper():
                return  # the orchestrator repeats a transition that planning reported
            after = after.upper()
            is_done = after == STORY_STAGES[-1] and known is not None and known.stage != after
            self.move(event.story, before, after, event, legal=story_move_is_legal(before or "", after))
            if is_done and known is not None and known.created is not None:
                self.lead_times.observe(max(known.since - known.created, 0.0))
        else:
            story = self.things.touch(event.story, event.stored)
            if story is not None:
                story.plan = event.plan or story.plan


class Tasks(Stages):
    def __init__(self, limit: int) -> None:
        super().__init__(limit, (*TASK_MOVES, *_STAGE_OF.values(), "deliberating", "deliberated"))

    def apply(self, event: Event) -> None:
        if event.task is None:
            return
        kind, body = event.kind, event.payload
        if kind == "workflow.state.changed":
            before, after = _stage(body, "from_state"), _stage(body, "to_state")
            if after:
                before, after = before.lower() if before else None, after.lower()
                self.move(event.task, before, after, event, legal=task_move_is_legal(before or "", after))
        elif kind == "workflow.task.completed":
            self.enter(event.task, (_stage(body, "final_state") or "done").lower(), event)
        elif kind in _STAGE_OF:
            self.enter(event.task, _STAGE_OF[kind], event)
        elif kind in RESPONSES and event.agent is not None:
            known = self.things.get(event.task)
            if known is None or known.stage in _BEFORE_DELIBERATION:
                self.enter(event.task, "deliberating", event)
        elif kind.startswith("orchestration.deliberation."):
            known = self.things.get(event.task)
            if known is None or known.stage == "deliberating":
                self.enter(event.task, "failed" if event.outcome is Outcome.FAILED else "deliberated", event)


_STAGE_OF = {
    "planning.task.created": "created",
    "planning.task.assigned": "assigned",
    "workflow.task.assigned": "assigned",
    "orchestration.task.dispatched": "dispatched",
    "orchestration.task.completed": "completed",
    "planning.task.completed": "completed",
    "orchestration.task.failed": "failed",
}
"""Event kinds that imply a stage of a task."""

_BEFORE_DELIBERATION = frozenset({"created", "assigned", "dispatched"})


def _stage(body: dict[str, object], *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if type(value) is str and value.strip():
            return value.strip()[:40]
    return None
