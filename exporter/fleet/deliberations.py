"""Deliberations: one task sent to the agents of one role, from start to end. Pure.

No service publishes the start, so it is inferred from the first response. The end is the last response, an event, or the
timeout.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.events.model import RESPONSES, Event, Outcome
from exporter.events.values import UNKNOWN_ROLE, duration, identifier, objects
from exporter.fleet.limits import Capped, LabelLimiter
from exporter.metrics.histogram import Histogram

SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Ending(StrEnum):
    """UNKNOWN: timed out, and the number of agents was never published."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"

    __hash__ = str.__hash__


@dataclass(slots=True)
class Deliberation:
    """`started` and `ended` in seconds since 1970, by the agents' clocks; `inferred`: no event reported the start."""

    task: str
    role: str
    started: float
    seen: float
    opened: float
    """Start of the timeout, by the clock that stamps events, because an agent's clock can be wrong."""
    inferred: bool
    story: str | None = None
    requested: int | None = None
    responded: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    ended: float | None = None
    ending: Ending | None = None

    @property
    def complete(self) -> bool:
        return self.requested is not None and len(self.responded | self.failed) >= self.requested


Key = tuple[str, str]

_ENDS = frozenset({"orchestration.deliberation.completed", "orchestration.deliberation.failed"})

_MOST_AGENTS = 1000
"""Agent names kept per deliberation."""


class Deliberations:
    """Open deliberations, recently ended ones, and counters."""

    def __init__(self, limit: int, timeout: float, roles: LabelLimiter) -> None:
        self._timeout = timeout
        self._roles = roles
        self.open: Capped[Key, Deliberation] = Capped(limit, grace=timeout)
        self.recent: Capped[Key, Deliberation] = Capped(limit, grace=0.0)
        self._recent_tasks: Capped[str, Deliberation] = Capped(limit, grace=0.0)
        self._roles_of: defaultdict[str, set[str]] = defaultdict(set)
        self.ended: Counter[tuple[str, Ending]] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.agents: Counter[tuple[str, str]] = Counter()

    def apply(self, event: Event) -> Deliberation | None:
        """Apply an event; returns the deliberation if this event is its first."""
        kind = event.kind
        if event.task is None:
            return None
        if kind in RESPONSES:
            return self._response(event, event.agent) if event.agent is not None else None
        if kind == "orchestration.deliberation.started":
            return self._begin(event, started=event.time or event.stored, inferred=False)
        if kind in _ENDS:
            self._reported_end(event)
        return None

    def _begin(self, event: Event, *, started: float, inferred: bool) -> Deliberation | None:
        assert event.task is not None
        key = (event.task, event.role or "")
        found = self.open.touch(key, event.stored)
        if found is None:
            if self.recent.get(key) is not None:
                return None
            opened = event.stored - ((event.duration or 0.0) if inferred else 0.0)
            found = Deliberation(event.task, key[1], started, event.stored, opened, inferred, event.story)
            if not self.open.add(key, found):
                return None
            self._roles(found.role or UNKNOWN_ROLE)
            self._roles_of[event.task].add(key[1])
            self._requested(found, event)
            return found
        self._requested(found, event)
        return None

    def _requested(self, found: Deliberation, event: Event) -> None:
        number = event.payload.get("num_agents")
        if number is None:
            number = event.payload.get("total_agents")
        if found.requested is None and type(number) is int and 0 < number < 10_000:
            found.requested = number
            self.agents[self._label(found), "requested"] += number

    def _failed(self, found: Deliberation, event: Event) -> None:
        """Count the failed agents that an end event lists and that have not responded."""
        received = found.responded | found.failed
        failed = sorted(_agents_in(event.payload.get("failed_agents")) - received)[: _MOST_AGENTS - len(received)]
        if failed:
            found.failed.update(failed)
            self.agents[self._label(found), "failed"] += len(failed)

    def _response(self, event: Event, agent: str) -> Deliberation | None:
        at = event.time or event.stored
        new = self._begin(event, started=at - (event.duration or 0.0), inferred=True)
        key = (event.task or "", event.role or "")
        found = self.open.get(key)
        if found is None:
            return None
        failed = event.outcome is Outcome.FAILED
        received = found.responded | found.failed
        if agent not in received and len(received) < _MOST_AGENTS:
            (found.failed if failed else found.responded).add(agent)
            self.agents[self._label(found), "failed" if failed else "received"] += 1
        if found.complete:
            ending = Ending.COMPLETED if found.responded else Ending.FAILED
            self._end(key, found, ending, at, event.stored)
        return new

    def _reported_end(self, event: Event) -> None:
        """End the task for all its roles; an end without a known start is counted too."""
        assert event.task is not None
        ending = Ending.FAILED if event.outcome is Outcome.FAILED else Ending.COMPLETED
        at = event.time or event.stored
        roles = {event.role} if event.role else set(self._roles_of.get(event.task, ()))
        keys = [(event.task, role) for role in roles]
        for key in keys:
            if (found := self.open.get(key)) is not None:
                self._requested(found, event)
                if len(keys) == 1:  # the event does not say which role its failed agents have
                    self._failed(found, event)
                self._end(key, found, ending, at, event.stored)
        counted = any(self.recent.get(key) for key in keys) if event.role else event.task in self._recent_tasks
        if not counted:
            reported = duration(event.payload.get("duration_ms"))
            started, stored = at - (reported or 0.0), event.stored
            found = Deliberation(event.task, event.role or "", started, stored, stored, reported is None, event.story)
            self._roles(found.role or UNKNOWN_ROLE)
            self._requested(found, event)
            self._failed(found, event)
            self._end((found.task, found.role), found, ending, at, stored, timed=reported is not None)

    def _end(self, key: Key, found: Deliberation, ending: Ending, at: float, seen: float, *, timed: bool = True) -> None:
        self.open.pop(key)
        roles = self._roles_of.get(found.task)
        if roles is not None:
            roles.discard(found.role)
            if not roles:
                del self._roles_of[found.task]
        found.ended, found.ending, found.seen = max(at, found.started), ending, max(found.seen, seen)
        self.recent.add(key, found)
        self._recent_tasks.pop(found.task)
        self._recent_tasks.add(found.task, found)
        role = self._label(found)
        self.ended[role, ending] += 1
        if timed and ending is not Ending.UNKNOWN:
            histogram = self.seconds.get(role)
            if histogram is None:
                histogram = self.seconds[role] = Histogram(SECONDS)
            histogram.observe(found.ended - found.started)

    def start_counting(self) -> None:
        """Set all counters to zero; open deliberations stay open."""
        self.ended = Counter(dict.fromkeys(self.ended, 0))
        self.agents = Counter(dict.fromkeys(self.agents, 0))
        for histogram in self.seconds.values():
            histogram.clear()

    def _label(self, found: Deliberation) -> str:
        return self._roles.label(found.role or UNKNOWN_ROLE)

    def shift(self, seconds: float) -> None:
        """Shift the times that expiry depends on, after a clock change."""
        self.open.shift(seconds)
        for found in self.open:
            found.opened += seconds

    def expire(self, now: float) -> None:
        """End deliberations that have timed out."""
        late = []
        for key, found in self.open.items():
            found.opened, found.seen = min(found.opened, now), min(found.seen, now)
            if found.opened < now - self._timeout:
                late.append((key, found))
        for key, found in late:
            unknown = found.requested is None
            self._end(key, found, Ending.UNKNOWN if unknown else Ending.TIMEOUT, found.started + self._timeout, now)


def _agents_in(listed: object) -> set[str]:
    names = (identifier(item.get("agent_id")) for item in objects(listed))
    return {name for name in names if name}
