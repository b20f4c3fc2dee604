"""Agents and their councils, from events. Pure: all times come from the events."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from exporter.events.model import RESPONSES, Event, Outcome
from exporter.events.values import UNKNOWN_ROLE, identifier, objects, role_of
from exporter.fleet.limits import Capped, LabelLimiter
from exporter.fleet.registry import Member
from exporter.metrics.histogram import Histogram

SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)

HISTORY = 10
"""Tasks kept per agent."""


_TASK_ENDS = RESPONSES | {"orchestration.task.completed", "orchestration.task.failed"}
_ASSIGNMENTS = frozenset({"agent.response.progress", "orchestration.task.dispatched"})
_COUNCIL_CREATED = "orchestration.council.created"
_COUNCILS = frozenset({_COUNCIL_CREATED, "orchestration.deliberation.started"})
_LISTS = {
    "planning.backlog_review.deliberations.complete": "agent_deliberations",
    "orchestration.deliberation.completed": "results",
}
"""Event kinds with a list of agents, and the name of that field."""


class AgentState(StrEnum):
    """IDLE: no task since `idle` seconds. UNKNOWN: only mentioned by others. UNRESPONSIVE: has a task and does not
    respond.
    """

    IDLE = "idle"
    DELIBERATING = "deliberating"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNRESPONSIVE = "unresponsive"


class Done(NamedTuple):
    """A completed task of an agent; duration in seconds, `at` in seconds since 1970."""

    task: str | None
    story: str | None
    outcome: Outcome
    duration: float | None
    tokens: int | None
    error: str | None
    at: float


@dataclass(slots=True)
class Agent:
    """`since` is the start of `state`, `seen` the last event of the agent, both in seconds since 1970."""

    id: str
    role: str
    seen: float
    since: float
    state: AgentState = AgentState.UNKNOWN
    model: str | None = None
    task: str | None = None
    story: str | None = None
    completed: int = 0
    failed: int = 0
    busy_seconds: float = 0.0
    timed: int = 0
    ended: Counter[Outcome] = field(default_factory=Counter)
    """Tasks since the exporter started, by COMPLETED and FAILED."""
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """Durations of these tasks."""
    history: deque[Done] = field(default_factory=lambda: deque(maxlen=HISTORY))

    @property
    def success_ratio(self) -> float | None:
        ended = self.completed + self.failed
        return self.completed / ended if ended else None

    @property
    def mean_seconds(self) -> float | None:
        return self.busy_seconds / self.timed if self.timed else None


@dataclass(slots=True)
class Council:
    """A role's council, without its agents; `expected` is the number of agents that its tasks are sent to."""

    role: str
    seen: float
    id: str | None = None
    expected: int | None = None
    has_task: bool = False
    """A task was sent to it, so its agents must show; they are not seen before."""


@dataclass(frozen=True, slots=True)
class AgentTimeouts:
    """Seconds of silence until an agent counts as idle, as unresponsive, and is removed."""

    idle: float = 300.0
    unresponsive: float = 30.0
    gone: float = 3600.0


class KnownAgents(Capped[str, Agent]):
    """Agents by ID and by role, which keeps council lookups fast; adds their roles to `roles`."""

    def __init__(self, limit: int, roles: LabelLimiter) -> None:
        super().__init__(limit)
        self._roles = roles
        self._by_role: dict[str, dict[str, Agent]] = {}

    def of_role(self, role: str) -> Mapping[str, Agent]:
        return self._by_role.get(role, {})

    def add(self, key: str, thing: Agent) -> bool:
        if not super().add(key, thing):
            return False
        self._roles(thing.role)
        self._by_role.setdefault(thing.role, {})[key] = thing
        return True

    def pop(self, key: str) -> Agent | None:
        agent = super().pop(key)
        if agent is not None:
            self._leaves_its_role(agent)
        return agent

    def give_role(self, agent: Agent, role: str) -> None:
        """Set the role of a known agent."""
        if role != agent.role:
            self._leaves_its_role(agent)
            agent.role = role
            self._roles(role)
            self._by_role.setdefault(role, {})[agent.id] = agent

    def _leaves_its_role(self, agent: Agent) -> None:
        of_role = self._by_role[agent.role]
        del of_role[agent.id]
        if not of_role:
            del self._by_role[agent.role]


class Agents:
    """All agents seen in events, at most `limit`."""

    def __init__(self, limit: int, timeouts: AgentTimeouts, roles: LabelLimiter) -> None:
        self._timeouts = timeouts
        self._roles = roles
        self.known = KnownAgents(limit, roles)
        self.councils: Capped[str, Council] = Capped(100)

    def apply(self, event: Event) -> None:
        """Apply an event that names an agent, a council, or agents in a list."""
        kind = event.kind
        if kind in _TASK_ENDS:
            self._ended(event)
        elif kind in _ASSIGNMENTS:
            self._assigned(event)
        elif kind in _COUNCILS:
            self._expects(event, event.payload.get("num_agents"))
        elif kind in _LISTS:
            self._mentioned(event, event.payload.get(_LISTS[kind]))

    def _touch(self, event: Event) -> Agent | None:
        if event.agent is None:
            return None
        agent = self.known.touch(event.agent, event.stored)
        if agent is None:
            agent = Agent(event.agent, event.role or UNKNOWN_ROLE, seen=event.stored, since=event.stored)
            if not self.known.add(event.agent, agent):
                return None
        if event.role:
            self.known.give_role(agent, event.role)
        if event.model:
            agent.model = event.model
        return agent

    def _ended(self, event: Event) -> None:
        agent = self._touch(event)
        if agent is None:
            return
        failed = event.outcome is Outcome.FAILED
        agent.state = AgentState.FAILED if failed else AgentState.COMPLETED
        agent.since = event.stored
        agent.task, agent.story = event.task, event.story
        agent.failed += failed
        agent.completed += not failed
        agent.ended[Outcome.FAILED if failed else Outcome.COMPLETED] += 1
        if event.duration is not None:
            agent.timed += 1
            agent.busy_seconds += event.duration
            agent.seconds.observe(event.duration)
        done = Done(event.task, event.story, event.outcome, event.duration, event.tokens, event.error, event.stored)
        agent.history.append(done)
        self._expects(event, event.payload.get("num_agents"))

    def _assigned(self, event: Event) -> None:
        agent = self._touch(event)
        if agent is not None:
            self._deliberates(agent, event.task, event.story, event.stored)

    @staticmethod
    def _deliberates(agent: Agent, task: str | None, story: str | None, at: float) -> None:
        # A further task does not end the silence of an agent that has not responded to the previous one.
        if agent.state is not AgentState.DELIBERATING:
            agent.since = at
        agent.state, agent.task, agent.story = AgentState.DELIBERATING, task, story

    def peers_deliberate(self, event: Event, requested: int) -> None:
        """Mark the other agents of a council as deliberating: the first response implies that all received the task.

        Skipped if the council has more agents than the task was sent to, because the recipients are unknown.

        """
        if event.role is None:
            return
        council = self.known.of_role(event.role)
        if len(council) - (event.agent in council) >= requested:
            return
        for agent in council.values():
            if agent.id != event.agent and not any(done.task == event.task for done in agent.history):
                self._deliberates(agent, event.task, event.story, event.stored)

    def register(self, members: Iterable[Member], at: float) -> None:
        """Add registered agents; they are idle until an event says otherwise."""
        for member in members:
            agent = self.known.touch(member.agent, at)
            if agent is None:
                agent = Agent(member.agent, member.role or UNKNOWN_ROLE, seen=at, since=at, state=AgentState.IDLE)
                if not self.known.add(member.agent, agent):
                    continue
            elif agent.state is AgentState.UNKNOWN:
                agent.state, agent.since = AgentState.IDLE, at
            agent.model = agent.model or member.model

    def _expects(self, event: Event, number: object) -> None:
        if event.role is None:
            return
        council = self.councils.touch(event.role, event.stored)
        if council is None:
            council = Council(event.role, seen=event.stored)
            if not self.councils.add(event.role, council):
                return
            self._roles(event.role)
        if type(number) is int and 0 < number < 10_000:
            council.expected = number
        council.has_task |= event.kind != _COUNCIL_CREATED
        council.id = identifier(event.payload.get("council_id")) or council.id

    def _mentioned(self, event: Event, listed: object) -> None:
        """Add agents mentioned by others in state UNKNOWN."""
        for item in objects(listed):
            name = identifier(item.get("agent_id"))
            if name is None or self.known.touch(name, event.stored) is not None:
                continue
            role = role_of(item.get("role")) or event.role or UNKNOWN_ROLE
            self.known.add(name, Agent(name, role, seen=event.stored, since=event.stored))

    def state_of(self, agent: Agent, now: float) -> tuple[AgentState, float]:
        """(state, since when) at a time; silence alone makes agents idle or unresponsive."""
        timeouts = self._timeouts
        if agent.state is AgentState.DELIBERATING and now - agent.since > timeouts.unresponsive:
            return AgentState.UNRESPONSIVE, agent.since + timeouts.unresponsive
        if agent.state in (AgentState.COMPLETED, AgentState.FAILED) and now - agent.since > timeouts.idle:
            return AgentState.IDLE, agent.since + timeouts.idle
        return agent.state, agent.since

    def shift(self, seconds: float) -> None:
        """Shift all times after a clock change."""
        self.known.shift(seconds)
        self.councils.shift(seconds)
        for agent in self.known:
            agent.since += seconds

    def start_counting(self) -> None:
        """Set all counters to zero; agents keep their states."""
        for agent in self.known:
            agent.ended.clear()
            agent.seconds.clear()

    def expire(self, now: float) -> None:
        self.known.expire(now, self._timeouts.gone)
        self.councils.expire(now, self._timeouts.gone)
