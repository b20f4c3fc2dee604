"""The fleet's state at a time, from which samples are made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.events.model import Outcome
from exporter.events.streams import StreamCursor
from exporter.events.values import UNKNOWN_ROLE
from exporter.fleet.agents import AgentState
from exporter.fleet.deliberations import Deliberations, Ending
from exporter.fleet.delivery import ConsumerCounts
from exporter.fleet.stages import Stages
from exporter.fleet.state import EventCounts, Fleet
from exporter.metrics.histogram import Histogram, copied


class AgentRow(NamedTuple):
    """One agent; `since` in seconds since 1970."""

    id: str
    role: str
    state: AgentState
    since: float
    completed: int
    """Responses since the exporter started, as `failed`."""
    failed: int
    seconds: Histogram | None
    """Durations of these responses; None before the first."""


@dataclass(frozen=True, slots=True)
class DeliberationsSnapshot:
    """Deliberations by role."""

    ended: Mapping[tuple[str, Ending], int]
    agents: Mapping[tuple[str, str], int]
    """By role and response (requested, received, failed)."""
    seconds: Mapping[str, Histogram]
    open: Mapping[str, tuple[int, float]]
    """Number in progress, and the start of the oldest in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class StagesSnapshot:
    """Stories or tasks by stage."""

    by_stage: Mapping[str, tuple[int, float]]
    """Number in the stage, and when the oldest entered it in seconds since 1970."""
    moves: Mapping[tuple[str, str], int]
    seconds: Mapping[str, Histogram]
    illegal: int


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """Aggregates of all events read so far."""

    counts: EventCounts
    agents: tuple[AgentRow, ...]
    expected: Mapping[str, int]
    """Agents assigned to the last task of a role's council."""
    with_task: frozenset[str]
    """Roles whose council has received a task."""
    deliberations: DeliberationsSnapshot
    stories: StagesSnapshot
    lead_times: Histogram
    """Times from creation to completion of the stories."""
    tasks: StagesSnapshot
    refused: Mapping[str, int]
    """How often a limit was reached, by kind of object."""


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """The fleet's state, and the state of its event consumer and broadcaster."""

    state: StateSnapshot
    streams: tuple[StreamCursor, ...]
    refused_subjects: frozenset[str]
    """Subjects that the account may not subscribe to."""
    disconnects: int
    dropped: int
    """Messages that arrived faster than they were processed."""
    consumers: ConsumerCounts
    clients: int
    """Clients of the live stream."""
    dropped_clients: int
    grafana: tuple[int, int] | None
    """Events pushed to Grafana Live and failed pushes; None if it is not configured."""


def state_of(fleet: Fleet, now: float) -> StateSnapshot:
    """A copy of the fleet's state at `now`, in seconds since 1970."""
    rows = []
    for agent in fleet.agents.known:
        state, since = fleet.agents.state_of(agent, now)
        completed, failed = agent.ended[Outcome.COMPLETED], agent.ended[Outcome.FAILED]
        seconds = agent.seconds.copy() if agent.seconds.count else None
        rows.append(AgentRow(agent.id, fleet.roles.label(agent.role), state, since, completed, failed, seconds))
    expected = {
        council.role: council.expected
        for council in fleet.agents.councils
        if council.expected is not None and fleet.roles.label(council.role) == council.role
    }
    return StateSnapshot(
        counts=fleet.counts.copy(),
        agents=tuple(rows),
        expected=expected,
        with_task=frozenset(council.role for council in fleet.agents.councils if council.has_task),
        deliberations=_deliberations(fleet.deliberations, fleet),
        stories=_stages(fleet.stories),
        lead_times=fleet.stories.lead_times.copy(),
        tasks=_stages(fleet.tasks),
        refused=fleet.refused(),
    )


def _deliberations(deliberations: Deliberations, fleet: Fleet) -> DeliberationsSnapshot:
    in_progress: dict[str, tuple[int, float]] = {}
    for one in deliberations.open:
        role = fleet.roles.label(one.role or UNKNOWN_ROLE)
        number, since = in_progress.get(role, (0, one.started))
        in_progress[role] = (number + 1, min(since, one.started))
    return DeliberationsSnapshot(
        dict(deliberations.ended), dict(deliberations.agents), copied(deliberations.seconds), in_progress
    )


def _stages(stages: Stages) -> StagesSnapshot:
    return StagesSnapshot(stages.by_stage(), dict(stages.moves), copied(stages.seconds), stages.illegal)
