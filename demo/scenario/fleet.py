"""The simulated fleet: the messages of each story, step by step, in the formats of the real services. No I/O."""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ROLES = ("DEV", "QA", "ARCHITECT", "DEVOPS", "DATA")
AGENTS_PER_ROLE = 3
STATES = ("BACKLOG", "DRAFT", "DESIGN", "BUILD", "TEST", "DOCS", "DONE")

_FAILING = 0.03
"""Share of responses that fail: within the error budget, so that no alert fires without a fault."""
_LONGEST_SECONDS = 4.5
"""Below the latency alert's threshold, which one response in ten thousand would exceed."""

STREAMS = {
    "PLANNING_EVENTS": "planning.>",
    "CONTEXT": "context.>",
    "ORCHESTRATOR_EVENTS": "orchestration.>",
    "AGENT_COMMANDS": "agent.cmd.>",
    "AGENT_RESPONSES": "agent.response.>",
    "AGENT_WORK": "agent.work.>",
    "WORKFLOW_EVENTS": "workflow.>",
    "task_derivation": "task.derivation.>",
}
CONSUMERS = (
    ("PLANNING_EVENTS", "orch-planning-plan-approved", "planning.plan.approved"),
    ("PLANNING_EVENTS", "context-planning-story-created", "planning.story.created"),
    ("PLANNING_EVENTS", "workflow-planning-events-v1", "planning.story.transitioned"),
    ("AGENT_RESPONSES", "deliberation-collector-completed", "agent.response.completed"),
    ("AGENT_RESPONSES", "deliberation-collector-failed", "agent.response.failed"),
    ("ORCHESTRATOR_EVENTS", "context-orch-deliberation-completed", "orchestration.deliberation.completed"),
    ("WORKFLOW_EVENTS", "planning-workflow-state", "workflow.state.changed"),
)
DERIVATION = ("task_derivation", "task-derivation-worker", "task.derivation.requested")
"""A consumer with few messages; the fault `lag` stops it."""
POISONED = ("PLANNING_EVENTS", "orch-planning-story-transitions", "planning.story.transitioned")
"""The consumer of the fault `poison`: it naks every message, as the real orchestrator does with a newer payload."""
SLOW = ("CONTEXT", "context-events-archive", "context.>")
"""The consumer of the fault `unread`."""
EXPECTED_STREAM = ("AGENT_RESULTS", "agent.results.>")
"""An expected stream in addition to STREAMS; the fault `stream` deletes it."""
SILENT = ("DEV", "agent-dev-002")
"""Role and name of the agent that the fault `agent` silences."""


@dataclass(frozen=True)
class SimulatedMessage:
    subject: str
    payload: dict[str, Any]

    @property
    def data(self) -> bytes:
        return json.dumps(self.payload).encode()


@dataclass(frozen=True)
class AgentResponse:
    """One agent's response to one task."""

    agent: str
    role: str
    seconds: float
    prompt_tokens: int
    tokens: int
    failed: bool


@dataclass(frozen=True)
class Step:
    """Messages that are published together, and their story, task and role."""

    messages: tuple[SimulatedMessage, ...]
    story: str
    state: str = ""
    role: str = ""
    task: str = ""
    responses: tuple[AgentResponse, ...] = ()


@dataclass
class SimulatedFleet:
    """An endless sequence of stories; the same seed gives the same fleet.

    While `silent`, one agent does not respond.
    """

    seed: int = 1
    silent: bool = False
    _noticed: bool = False
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def steps(self) -> Iterator[Step]:
        for number in itertools.count(1):
            yield from self._story(f"US-{number:03}")

    def _story(self, story: str) -> Iterator[Step]:
        created = {"event_type": "story.created", "story_id": story, "title": f"Story {story}", "created_by": "po"}
        yield Step((SimulatedMessage("planning.story.created", created | _time()),), story, STATES[0])
        plan = f"PL-{uuid.UUID(int=self._random.getrandbits(128))}"
        approved = {"story_id": story, "plan_id": plan, "approved_by": "po", "roles": list(ROLES), "tasks_created": 1}
        yield Step((SimulatedMessage("planning.plan.approved", approved | _time()),), story)
        for before, after in itertools.pairwise(STATES):
            moved = {"event_type": "story.transitioned", "story_id": story, "from_state": before, "to_state": after}
            context = {"event_type": "context.updated", "story_id": story, "version": 1, "timestamp": 12345.6}
            messages = (
                SimulatedMessage("planning.story.transitioned", moved | _time()),
                SimulatedMessage("context.events.updated", context),
            )
            yield Step(messages, story, after)
            yield from self._deliberation(story, plan, self._role())

    def _role(self) -> str:
        """The role of the next deliberation; that of an agent that has just been silenced or restored comes first."""
        if self.silent != self._noticed:
            self._noticed = self.silent
            return SILENT[0]
        return self._random.choice(ROLES)

    def _deliberation(self, story: str, plan: str, role: str) -> Iterator[Step]:
        """The agents of a council respond one after the other; the last step completes the deliberation."""
        task = f"TSK-{uuid.UUID(int=self._random.getrandbits(128))}"
        council = tuple(self._response(role, number) for number in range(1, AGENTS_PER_ROLE + 1))
        responses = tuple(response for response in council if not (self._noticed and response.agent == SILENT[1]))
        for response in responses:
            yield Step((self._message(response, task, story, plan),), story)
        done = {
            "event_type": "orchestration.deliberation.completed",
            "story_id": story,
            "task_id": task,
            "decisions": [],
            "timestamp": datetime.now(UTC).timestamp(),
        }
        work = {"task_id": task, "action": "commit_code", "actor_role": "developer"} | _time()
        state: dict[str, Any] = {
            "event_type": "workflow.state.changed",
            "task_id": task,
            "story_id": story,
            "from_state": "implementing",
        }
        state |= {"to_state": "dev_completed", "actor_role": "developer", "retry_count": 0} | _time()
        messages = (
            SimulatedMessage("orchestration.deliberation.completed", done),
            SimulatedMessage("agent.work.completed", work),
            SimulatedMessage("workflow.state.changed", _enveloped("workflow.state.changed", "workflow-service", state)),
        )
        yield Step(messages, story, role=role, task=task, responses=responses)

    def _response(self, role: str, number: int) -> AgentResponse:
        return AgentResponse(
            agent=f"agent-{role.lower()}-{number:03}",
            role=role,
            seconds=min(self._random.lognormvariate(0.3, 0.35), _LONGEST_SECONDS),
            prompt_tokens=self._random.randint(50, 900),
            tokens=self._random.randint(40, 700),
            failed=self._random.random() < _FAILING,
        )

    def _message(self, response: AgentResponse, task: str, story: str, plan: str) -> SimulatedMessage:
        payload: dict[str, Any] = {
            "task_id": task,
            "agent_id": response.agent,
            "role": response.role,
            "duration_ms": int(response.seconds * 1000),
            "num_agents": AGENTS_PER_ROLE,
            "model": "Qwen/Qwen3-0.6B",
            "constraints": {"story_id": story, "plan_id": plan},
        } | _time()
        if response.failed:
            failed = payload | {"status": "failed", "error": "no response from the model", "error_type": "TimeoutError"}
            return SimulatedMessage("agent.response.failed", failed)
        proposal = {"content": f"Proposal for {task}", "author_id": response.agent, "tokens": response.tokens}
        completed = payload | {"status": "completed", "success": True, "proposal": proposal}
        return SimulatedMessage(
            "agent.response.completed", _enveloped("agent.response.completed", "ray-executor", completed)
        )


def _time() -> dict[str, str]:
    return {"timestamp": datetime.now(UTC).isoformat()}


def _enveloped(event_type: str, producer: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "payload": payload,
        "idempotency_key": uuid.uuid5(uuid.NAMESPACE_OID, event_type).hex,
        "correlation_id": str(uuid.uuid4()),
        "producer": producer,
    } | _time()
