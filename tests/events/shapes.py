"""Every event format of the fleet's two generations, one per row, and random ones."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from exporter.events.model import Outcome, ValueField

STORED = 1_763_632_801.0  # 2025-11-20T10:00:01Z


TIME = "2025-11-20T10:00:00+00:00"


EPOCH = 1_763_632_800.0


def enveloped(event_type: str, payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "payload": payload,
        "idempotency_key": "0" * 64,
        "correlation_id": "c",
        "timestamp": TIME,
        "producer": "a-service",
    } | more


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


CONSTRAINTS = {"story_id": "US-1", "plan_id": "PL-1", "metadata": {"task_id": "TSK-1", "story_id": "US-1", "num_agents": 3}}


PROPOSAL = {"content": "text", "author_id": "agent-dev-001", "author_role": "DEV", "model": "Q", "tokens": 384}


E1_RESPONSE = {
    "task_id": "T",
    "agent_id": "agent-dev-001",
    "role": "DEV",
    "proposal": PROPOSAL,
    "status": "completed",
    "duration_ms": 2300,
    "timestamp": "2025-11-20T10:00:00.123456",
    "model": "Q",
    "diversity": False,
}


E3_RESPONSE = E1_RESPONSE | {"timestamp": TIME, "success": True, "num_agents": 3, "constraints": CONSTRAINTS}


FAILED = {
    "task_id": "ray-1",
    "agent_id": "agent-qa-002",
    "role": "qa",
    "status": "failed",
    "error": "no response",
    "error_type": "TimeoutError",
    "duration_ms": 100.5,
    "timestamp": TIME,
}


DELIBERATED = {
    "task_id": "T",
    "status": "completed",
    "results": [{"agent_id": "a", "role": "DEV", "proposal": "p", "duration_ms": 1, "timestamp": TIME}],
    "failed_agents": [{"agent_id": "b", "error": "e", "timestamp": TIME}],
    "total_agents": None,
    "successful_responses": 1,
    "failed_responses": 1,
    "duration_ms": 1500,
    "completed_at": TIME,
}


REVIEWED = "ceremony-C1:story-S1:role-QA"


SHAPES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # planning
    ("planning.story.created", {"event_type": "story.created", "story_id": "US-1", "title": "t", "created_by": "po"},
     {"kind": "planning.story.created", "family": "planning", "story": "US-1", "producer": "planning-service",
      "time": None}),
    ("planning.story.created", {"story_id": "US-1", "title": "t", "phase": "DRAFT"}, {"story": "US-1"}),
    ("planning.story.transitioned",
     {"story_id": "US-1", "from_state": "DRAFT", "to_state": "DESIGN", "timestamp": "2025-11-20T10:00:00.5+00:00Z"},
     {"story": "US-1", "time": EPOCH + 0.5, "outcome": Outcome.NONE}),
    ("planning.story.transitioned", {"story_id": 12, "from_phase": "A", "to_phase": "B", "tasks": []}, {"story": "12"}),
    ("planning.story.tasks_not_ready", {"story_id": "US-1", "reason": "no priority", "occurred_at": TIME},
     {"error": "no priority", "time": EPOCH}),
    ("planning.decision.approved", {"story_id": "US-1", "decision_id": "D", "approved_by": "po", "comment": None},
     {"outcome": Outcome.APPROVED}),
    ("planning.decision.rejected", {"story_id": "US-1", "decision_id": "D", "reason": "no"}, {"outcome": Outcome.REJECTED}),
    ("planning.plan.approved", {"ceremony_id": "C", "story_id": "US-1", "plan_id": "PL-1", "approved_at": TIME},
     {"plan": "PL-1", "ceremony": "C", "time": EPOCH, "outcome": Outcome.APPROVED}),
    ("planning.plan.approved", {"type": "plan.approved", "story_id": "test-basic-1", "plan_id": "plan-1", "roles": ["DEV"]},
     {"story": "test-basic-1", "plan": "plan-1"}),
    ("planning.task.created", {"task_id": "TSK-1", "story_id": "US-1", "role": "developer", "phase": "BUILD"},
     {"task": "TSK-1", "role": "DEV"}),
    ("planning.task.assigned", {"task_id": "TSK-1", "role": "Qa", "assigned_at": TIME}, {"role": "QA", "time": EPOCH}),
    ("planning.task.completed", {"task_id": "TSK-1", "completed_at": TIME}, {"outcome": Outcome.COMPLETED}),
    ("planning.project.created", {"project_id": "P"}, {"kind": "planning.project.created"}),
    ("planning.backlog_review.ceremony.started", {"ceremony_id": "C", "total_stories": 2, "started_at": TIME},
     {"ceremony": "C", "time": EPOCH}),
    ("planning.backlog_review.story.reviewed", DELIBERATED | {"task_id": REVIEWED},
     {"ceremony": "C1", "story": "S1", "role": "QA", "duration": 1.5}),
    ("planning.backlog_review.deliberations.complete",
     {"ceremony_id": "C", "story_id": "US-1", "agent_deliberations": [{"agent_id": "a", "proposal": "{}"}]},
     {"producer": "backlog-review-processor", "outcome": Outcome.COMPLETED}),
    ("planning.backlog_review.tasks.complete", {"ceremony_id": "C", "story_id": "US-1", "tasks_created": 3},
     {"producer": "backlog-review-processor"}),
    ("planning.dualwrite.reconcile.requested", enveloped("x", {"operation_id": "O", "operation_data": {}}),
     {"producer": "a-service", "time": EPOCH}),
    ("agile.events", {"event_type": "TRANSITION", "case_id": "CASE-1", "from": "DRAFT", "to": "DESIGN", "actor": "po"},
     {"kind": "agile.transition", "family": "agile", "story": "CASE-1"}),
    # orchestration
    ("orchestration.deliberation.started", {"task_id": "T", "role": "DEV", "num_agents": 3}, {"task": "T", "role": "DEV"}),
    ("orchestration.deliberation.completed",
     {"event_type": "x", "story_id": "US-1", "task_id": "PL-1", "decisions": [], "timestamp": EPOCH},
     {"time": EPOCH, "outcome": Outcome.COMPLETED}),
    ("orchestration.deliberation.completed",
     enveloped("deliberation.completed", {"deliberation_id": "D", "task_id": "T", "status": "failed", "timestamp": EPOCH,
                                          "error": "e"}, producer="ray-executor-service"),
     {"deliberation": "D", "outcome": Outcome.FAILED, "producer": "ray-executor-service", "error": "e"}),
    ("deliberation.completed", DELIBERATED, {"kind": "orchestration.deliberation.completed", "family": "orchestration"}),
    ("deliberation.failed", {"task_id": "T", "status": "failed", "error": "Timeout after 300s"},
     {"kind": "orchestration.deliberation.failed", "outcome": Outcome.FAILED}),
    ("orchestration.task.dispatched",
     {"story_id": "US-1", "task_id": "T", "agent_id": "agent-dev-001", "dispatched_at": TIME},
     {"agent": "agent-dev-001", "role": "DEV", "time": EPOCH}),
    ("orchestration.task.completed", {"task_id": "T", "agent_id": "x", "role": "DEV", "duration_ms": 5},
     {"duration": 0.005}),
    ("orchestration.task.failed", {"task_id": "T", "error": "e", "error_type": "E"}, {"outcome": Outcome.FAILED}),
    ("orchestration.phase.changed", {"story_id": "US-1", "from_phase": "A", "to_phase": "B"}, {"outcome": Outcome.NONE}),
    ("orchestration.plan.approved", {"story_id": "US-1", "plan_id": "P", "roles": []}, {"outcome": Outcome.APPROVED}),
    ("orchestration.council.created", {"council_id": "council-dev", "role": "DEV", "num_agents": 3}, {"role": "DEV"}),
    # agent
    ("agent.response.completed", E1_RESPONSE,
     {"agent": "agent-dev-001", "role": "DEV", "duration": 2.3, "tokens": 384, "model": "Q", "story": None,
      "time": EPOCH + 0.123456, "producer": "ray-executor", "outcome": Outcome.COMPLETED}),
    ("agent.response.completed", E3_RESPONSE, {"story": "US-1", "plan": "PL-1", "task": "TSK-1", "time": EPOCH}),
    ("agent.response.completed", enveloped("agent.response.completed", E3_RESPONSE, producer="ray-executor"),
     {"story": "US-1", "agent": "agent-dev-001", "producer": "ray-executor"}),
    ("agent.response.completed", E3_RESPONSE | {"proposal": "text"}, {"tokens": None, "agent": "agent-dev-001"}),
    ("agent.response.completed", {k: v for k, v in E3_RESPONSE.items() if k != "proposal"}, {"tokens": None}),
    ("agent.response.completed", E3_RESPONSE | {"success": False}, {"outcome": Outcome.FAILED}),
    ("agent.response.completed.backlog-review.role", E3_RESPONSE | {"task_id": REVIEWED, "constraints": {"plan_id": ""}},
     {"kind": "agent.response.completed", "story": "S1", "ceremony": "C1", "plan": None, "task": REVIEWED}),
    ("agent.response.completed.task-extraction",
     {"task_id": "x:task-extraction", "story_id": "US-1", "ceremony_id": None, "tasks": [], "model": "Q", "duration_ms": 9,
      "validated_at": TIME},
     {"kind": "agent.response.completed.task-extraction", "agent": None, "ceremony": None, "duration": 0.009}),
    ("agent.response.failed", FAILED, {"role": "QA", "error": "no response", "outcome": Outcome.FAILED, "task": "ray-1"}),
    ("agent.response.failed", FAILED | {"success": False, "metadata": {"task_id": "TSK-9"}}, {"task": "TSK-9"}),
    ("agent.response.failed", enveloped("agent.response.failed", FAILED), {"agent": "agent-qa-002", "error": "no response"}),
    ("agent.response.progress", {"task_id": "T", "agent_id": "a", "progress_pct": 0, "message": ""}, {"agent": "a"}),
    ("agent.work.completed", {"task_id": "T", "action": "commit_code", "actor_role": "developer"}, {"role": "DEV"}),
    ("agent.results.TSK-1", {"agent_id": "a", "task_id": "TSK-1", "status": "ok", "proposal": {}, "metadata": {}},
     {"kind": "agent.response", "outcome": Outcome.COMPLETED}),
    ("agent.response.completed", {"task_id": "T", "agent_id": "a", "status": "needs_human"},
     {"outcome": Outcome.NEEDS_HUMAN}),
    # context, vllm, workflow, task derivation, ceremony engine
    ("context.events.updated", {"event_type": "context.updated", "story_id": "US-1", "version": 1.5, "timestamp": 12345.6},
     {"kind": "context.events.updated", "time": None}),
    ("context.updated", {"story_id": "US-1", "version": 2, "changes": []}, {"kind": "context.events.updated"}),
    ("context.rehydrate.response", {"case_id": "US-9", "status": "success", "generated_at_ms": EPOCH * 1000},
     {"story": "US-9", "time": EPOCH, "outcome": Outcome.COMPLETED}),
    ("context.decision.added", {"story_id": "US-1", "decision_id": "D", "type": "t"}, {"producer": "context-service"}),
    ("vllm.streaming.deliberation-a.b-1", {"type": "vllm_stream_start", "agent_id": "d", "timestamp": EPOCH, "model": "Q"},
     {"kind": "vllm.streaming", "family": "vllm", "time": EPOCH}),
    ("workflow.state.changed",
     enveloped("workflow.state.changed", {"task_id": "T", "story_id": "", "actor_role": "", "role_in_charge": "architect",
                                          "timestamp": "2025-11-20T10:00:00"}, producer="workflow-service"),
     {"story": None, "role": "ARCHITECT", "time": EPOCH}),
    ("workflow.task.assigned", {"task_id": "T", "role": "po", "action_required": "approve"}, {"role": "PO"}),
    ("workflow.validation.required", {"task_id": "T", "validator_role": "qa"}, {"role": "QA"}),
    ("workflow.task.completed", {"task_id": "T", "final_state": "done"}, {"outcome": Outcome.COMPLETED}),
    ("task.derivation.requested", {"plan_id": "P", "story_id": "US-1", "roles": [], "occurred_at": TIME}, {"plan": "P"}),
    ("task.derivation.completed", {"plan_id": "P", "status": "success", "task_count": 3}, {"family": "task"}),
    ("task.derivation.failed", {"plan_id": "P", "status": "failed", "reason": "r"},
     {"error": "r", "outcome": Outcome.FAILED}),
    ("ceremony.anything.at-all", enveloped("x", {"story_id": "US-1"}, producer="ceremony-engine"),
     {"producer": "ceremony-engine", "family": "planning"}),
    # designed, expected by consumers or defined in the specification, with or without a publisher
    ("planning.epic.created", {"epic_id": "E"}, {"kind": "planning.epic.created", "family": "planning"}),
    ("planning.tasks.derived", {"plan_id": "P", "story_id": "US-1"}, {"plan": "P"}),
    ("planning.backlog_review.ceremony.completed", {"ceremony_id": "C"}, {"outcome": Outcome.COMPLETED, "ceremony": "C"}),
    ("context.update.request", {"story_id": "US-1"}, {"family": "context", "outcome": Outcome.NONE}),
    ("context.update.response", {"story_id": "US-1", "status": "success", "version": 1}, {"outcome": Outcome.COMPLETED}),
    ("context.update.response", {"story_id": "US-1", "status": "OK", "version": EPOCH, "hash": "h", "warnings": []},
     {"outcome": Outcome.COMPLETED}),
    ("context.rehydrate.request", {"case_id": "US-9"}, {"story": "US-9"}),
    ("context.milestone.reached", {"story_id": "US-1", "milestone": "m", "reached_at": TIME}, {"time": EPOCH}),
    ("context.snapshot.created", {"story_id": "US-1", "snapshot_id": "s", "timestamp": TIME}, {"time": EPOCH}),
    ("agent.cmd.start", {"agent_id": "agent-qa-001"}, {"family": "agent", "role": "QA"}),
    ("agent.request.x", {"task_id": "T"}, {"task": "T"}),
    ("agent.requests", {"event_id": "e", "case_id": "US-1", "ts": TIME, "producer": "p", "trace_id": "t"},
     {"story": "US-1", "time": EPOCH, "producer": "p"}),
    ("agent.responses", {"case_id": "US-1", "status": "error", "ts": TIME, "producer": "p"}, {"outcome": Outcome.FAILED}),
    ("workspace.logs", {"job_id": "j", "line": "l", "step": 1, "level": "info"}, {"family": "other"}),
    ("deadletter", {"topic": "t", "reason": "r", "raw": "x"}, {"family": "other", "error": "r"}),
    ("vllm.streaming.d", enveloped("vllm.streaming.vllm_token", {"type": "vllm_token", "token": "a", "position": 3}),
     {"kind": "vllm.streaming", "tokens": None}),
    ("vllm.streaming.d", enveloped("x", {"type": "vllm_stream_complete", "total_tokens": 384}), {"tokens": 384}),
    ("agile.events", {"event_type": "CASE_CREATED", "case_id": "C", "title": "t"}, {"kind": "agile.case_created"}),
    ("agile.events", {"event_type": "SUBTASK_ADDED", "case_id": "C"}, {"kind": "agile.subtask_added"}),
    ("agile.events", {"event_type": "HUMAN_APPROVAL", "case_id": "C", "actor": "po"}, {"kind": "agile.human_approval"}),
    ("agile.events", {"event_type": "SCORE_UPDATED", "case_id": "C", "dor_score": 80}, {"kind": "agile.score_updated"}),
    ("agent.response.completed", E3_RESPONSE | {"proposal": '{"content": "a JSON string"}'}, {"tokens": None}),
    ("agent.response.completed", without(E3_RESPONSE, "agent_id", "model") | {"proposal": json.dumps(PROPOSAL)},
     {"tokens": 384, "model": "Q", "agent": "agent-dev-001", "unreadable": ()}),
    ("agent.response.completed", E3_RESPONSE | {"proposal": "{ this is no JSON"}, {"tokens": None, "unreadable": ()}),
    ("agent.response.completed", E3_RESPONSE | {"proposal": PROPOSAL | {"tokens": "384"}, "duration_ms": "2300.5"},
     {"tokens": 384, "duration": 2.3005, "unreadable": ()}),
    ("agent.response.completed", E3_RESPONSE | {"proposal": None, "enable_tools": True, "operations": []}, {"tokens": None}),
    # fields of the wrong type
    ("agent.response.completed", {"task_id": None, "agent_id": 7, "role": 3, "duration_ms": "fast", "model": []},
     {"task": None, "agent": "7", "role": None, "duration": None, "model": None, "unreadable": (ValueField.DURATION,)}),
    ("agent.response.completed", {"tokens": "many", "duration_ms": -1, "timestamp": "yesterday"},
     {"tokens": None, "unreadable": (ValueField.DURATION, ValueField.TOKENS, ValueField.TIME)}),
    ("agent.response.completed", {"tokens": 0, "total_tokens": None, "timestamp": None}, {"tokens": None, "unreadable": ()}),
    ("agent.response.completed", {"task_id": True, "constraints": [], "metadata": "x", "proposal": None}, {"task": None}),
    ("planning.story.created", {"payload": {"story_id": "in"}, "story_id": "out"}, {"story": "out"}),
    ("planning.story.created", {"payload": "text", "idempotency_key": "k", "story_id": "out"}, {"story": "out"}),
]  # fmt: skip


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


_FIELDS = (
    "event_type payload idempotency_key task_id agent_id role proposal constraints metadata status duration_ms timestamp "
    "model error story_id num_agents total_agents success from_state to_state agent_deliberations results failed_agents "
    "final_state council_id title tokens producer"
)


FIELDS = st.sampled_from(_FIELDS.split())


SUBJECTS = st.sampled_from([row[0] for row in SHAPES]) | st.text(min_size=1, max_size=30)


BODIES = st.dictionaries(FIELDS, ANY_JSON | st.dictionaries(FIELDS, ANY_JSON, max_size=5), max_size=8)
