"""The fleet's state as samples; declares all `fleet_` metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from exporter.events.model import Outcome
from exporter.fleet.agents import SECONDS as AGENT_BOUNDS
from exporter.fleet.agents import AgentState
from exporter.fleet.deliberations import SECONDS as DELIBERATION_BOUNDS
from exporter.fleet.deliberations import Ending
from exporter.fleet.registry import AGENTS
from exporter.fleet.stages import LEAD_SECONDS
from exporter.fleet.stages import SECONDS as STAGE_BOUNDS
from exporter.fleet.state import DELAYS, SIZES
from exporter.fleet.state import RESPONSE_SECONDS as RESPONSE_BOUNDS
from exporter.fleet.state import RESPONSE_TOKENS as TOKEN_BOUNDS
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels, state_set
from exporter.source import LIMIT_HITS
from exporter.sources.fleet.snapshot import DeliberationsSnapshot, StagesSnapshot, StateSnapshot

EVENTS = counter(
    "fleet_events_total",
    "Events by family, subject without identifiers, producer (reported, or inferred from the subject) and outcome.",
    "family",
    "subject",
    "producer",
    "outcome",
)
SIZE = histogram("fleet_event_size_bytes", "Size of event payloads.", "family", unit=Unit.BYTES, bounds=SIZES)
DELAY = histogram(
    "fleet_event_delay_seconds",
    "Time from storage of an event in its stream to its arrival here; events read at startup are excluded.",
    "family",
    unit=Unit.SECONDS,
    bounds=DELAYS,
)
UNPARSED = counter("fleet_events_unparsed_total", "Messages that cannot be parsed as events, by reason.", "reason")
UNREADABLE_VALUES = counter(
    "fleet_events_unreadable_values_total",
    "Values of events that cannot be parsed, by field; the rest of the event is used.",
    "field",
)
AGENT_STATE = state_set(
    "fleet_agent_state",
    "State of each agent; deliberating is inferred from the first response of its council.",
    "agent",
    "role",
    states=tuple(AgentState),
)
AGENT_SINCE = gauge(
    "fleet_agent_state_since_timestamp_seconds",
    "Time when an agent entered its state.",
    "agent",
    "role",
    unit=Unit.TIMESTAMP,
)
AGENT_TASKS = counter(
    "fleet_agent_tasks_total",
    "Tasks that each agent completed or failed since it was first seen; at most fleet.max-agents agents.",
    "agent",
    "role",
    "outcome",
)
AGENT_TASK_SECONDS = histogram(
    "fleet_agent_task_duration_seconds",
    "Duration of each agent's tasks as reported by the agent (duration_ms).",
    "agent",
    "role",
    unit=Unit.SECONDS,
    bounds=AGENT_BOUNDS,
)
RESPONSES = counter("fleet_agent_responses_total", "Agent responses by role and outcome.", "role", "outcome")
RESPONSE_SECONDS = histogram(
    "fleet_agent_response_duration_seconds",
    "Duration of a response as reported by the agent (duration_ms).",
    "role",
    "model",
    unit=Unit.SECONDS,
    bounds=RESPONSE_BOUNDS,
)
RESPONSE_TOKENS = histogram(
    "fleet_agent_response_tokens",
    "Tokens of a response, including its prompt (proposal.tokens).",
    "role",
    "model",
    bounds=TOKEN_BOUNDS,
)
COUNCIL_AGENTS = gauge("fleet_council_agents", "Agents seen in a role's council.", "role")
COUNCIL_READY = gauge(
    "fleet_council_ready_agents", "Agents of a council that are idle or have just completed a task.", "role"
)
COUNCIL_EXPECTED = gauge("fleet_council_expected_agents", "Agents assigned to a council's last task (num_agents).", "role")
DELIBERATIONS = counter("fleet_deliberations_total", "Finished deliberations by role and outcome.", "role", "outcome")
DELIBERATION_SECONDS = histogram(
    "fleet_deliberation_duration_seconds",
    "Time from the start of a deliberation (reported, or inferred from its first response) to its end.",
    "role",
    unit=Unit.SECONDS,
    bounds=DELIBERATION_BOUNDS,
)
IN_PROGRESS = gauge("fleet_deliberations_in_progress", "Deliberations in progress.", "role")
DELIBERATION_AGENTS = counter(
    "fleet_deliberation_agents_total",
    "Agents in deliberations by response: requested, received or failed.",
    "role",
    "response",
)
OPEN_SINCE = gauge(
    "fleet_oldest_deliberation_start_timestamp_seconds",
    "Start time of a role's oldest deliberation in progress; no data if none is in progress.",
    "role",
    unit=Unit.TIMESTAMP,
)


SYSTEM: Final = "fleet"


class StageMetrics:
    """The five metrics shared by stories and tasks."""

    def __init__(self, thing: str, things: str) -> None:
        self.now = gauge(f"fleet_{things}", f"{things.capitalize()} by stage.", "stage")
        self.oldest = gauge(
            f"fleet_{thing}_oldest_in_stage_timestamp_seconds",
            f"Time when the oldest {thing} in a stage entered it.",
            "stage",
            unit=Unit.TIMESTAMP,
        )
        self.seconds = histogram(
            f"fleet_{thing}_stage_duration_seconds",
            f"Time a {thing} spent in a stage, observed when it leaves.",
            "stage",
            unit=Unit.SECONDS,
            bounds=STAGE_BOUNDS,
        )
        self.moves = counter(f"fleet_{thing}_transitions_total", f"Stage transitions of {things}.", "from_stage", "to_stage")
        self.illegal = counter(
            f"fleet_{thing}_illegal_transitions_total", f"Stage transitions of {things} that the workflow does not allow."
        )

    @property
    def all(self) -> tuple[Metric, ...]:
        return self.now, self.oldest, self.seconds, self.moves, self.illegal

    def samples(self, stages: StagesSnapshot) -> Iterable[Sample]:
        by_stage = stages.by_stage
        # A stage without current items that was used before is 0, not absent.
        for stage in dict.fromkeys(stage for move in stages.moves for stage in move):
            if stage not in by_stage:
                yield self.now(0, stage=stage)
        for stage, (count, since) in by_stage.items():
            yield self.now(count, stage=stage)
            yield self.oldest(since, stage=stage)
        yield from _histograms(self.seconds, stages.seconds)
        for (before, after), number in stages.moves.items():
            yield self.moves(number, from_stage=before, to_stage=after)
        yield self.illegal(stages.illegal)


STORIES: Final = StageMetrics("story", "stories")
TASKS: Final = StageMetrics("task", "tasks")

LEAD_TIME = histogram(
    "fleet_story_lead_time_seconds",
    "Time from a story's creation to DONE, observed when it is done; stories whose creation was not seen are excluded.",
    unit=Unit.SECONDS,
    bounds=LEAD_SECONDS,
)

METRICS: Final[tuple[Metric, ...]] = (
    EVENTS,
    SIZE,
    DELAY,
    UNPARSED,
    UNREADABLE_VALUES,
    AGENTS,
    AGENT_STATE,
    AGENT_SINCE,
    AGENT_TASKS,
    AGENT_TASK_SECONDS,
    RESPONSES,
    RESPONSE_SECONDS,
    RESPONSE_TOKENS,
    COUNCIL_AGENTS,
    COUNCIL_READY,
    COUNCIL_EXPECTED,
    DELIBERATIONS,
    DELIBERATION_SECONDS,
    IN_PROGRESS,
    DELIBERATION_AGENTS,
    OPEN_SINCE,
    *STORIES.all,
    LEAD_TIME,
    *TASKS.all,
    LIMIT_HITS,
)


def samples(state: StateSnapshot) -> Iterable[Sample]:
    """The fleet's state as samples."""
    counts = state.counts
    for (family, subject, producer, outcome), number in counts.events.items():
        yield EVENTS(number, family=family, subject=subject, producer=producer, outcome=outcome)
    yield from _histograms(SIZE, counts.sizes)
    yield from _histograms(DELAY, counts.delays)
    for reason, number in counts.unparsed.items():
        yield UNPARSED(number, reason=reason)
    for field, number in counts.unreadable.items():
        yield UNREADABLE_VALUES(number, field=field)
    yield from _agent_samples(state)
    # rate() ignores the first value of a counter, so every role's failure counter starts at 0.
    for role in dict.fromkeys(role for role, _ in counts.responses):
        for outcome in (Outcome.COMPLETED, Outcome.FAILED):
            if (role, outcome) not in counts.responses:
                yield RESPONSES(0, role=role, outcome=outcome)
    for (role, outcome), number in counts.responses.items():
        yield RESPONSES(number, role=role, outcome=outcome)
    yield from _histograms(RESPONSE_SECONDS, counts.seconds)
    yield from _histograms(RESPONSE_TOKENS, counts.tokens)
    yield from _deliberation_samples(state.deliberations)
    yield from STORIES.samples(state.stories)
    yield state.lead_times.sample(LEAD_TIME, labels())
    yield from TASKS.samples(state.tasks)
    for kind, number in state.refused.items():
        yield LIMIT_HITS(number, kind=kind)


def _histograms(metric: Metric, found: Mapping[Any, Histogram]) -> Iterable[Sample]:
    """`found` by the value of the metric's label, or by the tuple of its labels' values."""
    for key, distribution in found.items():
        values = key if isinstance(key, tuple) else (key,)
        owner = labels(**dict(zip(metric.labels, values, strict=True)))
        yield distribution.sample(metric, owner)


_READY = frozenset({AgentState.IDLE, AgentState.COMPLETED})


def _agent_samples(state: StateSnapshot) -> Iterable[Sample]:
    by_role: dict[str, dict[AgentState, int]] = {}
    for agent in state.agents:
        of_role = by_role.setdefault(agent.role, dict.fromkeys(AgentState, 0))
        of_role[agent.state] += 1
        owner = labels(agent=agent.id, role=agent.role)
        yield AGENT_STATE.state_at(owner, agent.state)
        yield AGENT_SINCE.at(owner, agent.since)
        yield AGENT_TASKS.at(owner.with_label("outcome", Outcome.COMPLETED), agent.completed)
        yield AGENT_TASKS.at(owner.with_label("outcome", Outcome.FAILED), agent.failed)
        if agent.seconds is not None:
            yield agent.seconds.sample(AGENT_TASK_SECONDS, owner)
    for role, states in by_role.items():
        for agent_state, number in states.items():
            yield AGENTS(number, system=SYSTEM, role=role, state=agent_state)
        yield COUNCIL_AGENTS(sum(states.values()), role=role)
        yield COUNCIL_READY(sum(number for agent_state, number in states.items() if agent_state in _READY), role=role)
    for role, number in state.expected.items():
        if role not in by_role and role in state.with_task:
            yield COUNCIL_AGENTS(0, role=role)
            yield COUNCIL_READY(0, role=role)
        yield COUNCIL_EXPECTED(number, role=role)


def _deliberation_samples(deliberations: DeliberationsSnapshot) -> Iterable[Sample]:
    roles = sorted({role for role, _ in (*deliberations.ended, *deliberations.agents)})
    for role in roles:
        for ending in Ending:
            yield DELIBERATIONS(deliberations.ended.get((role, ending), 0), role=role, outcome=ending)
    yield from _histograms(DELIBERATION_SECONDS, deliberations.seconds)
    for (role, response), number in deliberations.agents.items():
        yield DELIBERATION_AGENTS(number, role=role, response=response)
    # A role without current deliberations is 0, not absent.
    for role in dict.fromkeys([*roles, *deliberations.open]):
        yield IN_PROGRESS(deliberations.open.get(role, (0, 0.0))[0], role=role)
    for role, (_, since) in deliberations.open.items():
        yield OPEN_SINCE(since, role=role)
