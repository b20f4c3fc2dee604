"""/api/councils, /api/agents, /api/stories, /api/fleet/tasks, /api/deliberations: the fleet's current state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

from exporter.events.values import role_of
from exporter.fleet.agents import Agent, AgentState
from exporter.fleet.deliberations import Deliberation
from exporter.fleet.registry import KnowsAgents
from exporter.fleet.stages import Staged
from exporter.fleet.state import Fleet
from exporter.metrics.timestamps import rfc3339
from exporter.sources.fleet import FleetEvents
from exporter.sources.fleet.samples import SYSTEM
from exporter.web.api.parameters import Limit, NoParameters, OneOf, Parameters, Role, Text, closest, rows
from exporter.web.api.problems import documented, refused

NO_FLEET = "events are not read: NATS is not configured; set NATS_URL or --jetstream.url"

_SYSTEMS = ("fleet", "board", "broker")
_BOARD_STATES = ("assigned",)


def agent_view(fleet: Fleet, agent: Agent, now: float) -> dict[str, Any]:
    """An agent without its history."""
    state, since = fleet.agents.state_of(agent, now)
    return {
        "system": SYSTEM,
        "id": agent.id,
        "role": agent.role,
        "state": state,
        "since": rfc3339(since),
        "task": agent.task,
        "story": agent.story,
        "model": agent.model,
        "last_heard": rfc3339(agent.seen),
        "completed": agent.completed,
        "failed": agent.failed,
        "success_ratio": agent.success_ratio,
        "mean_seconds": agent.mean_seconds,
    }


def story_view(name: str, story: Staged | None) -> dict[str, Any]:
    if story is None:
        return {"id": name, "stage": None, "since": None, "plan": None, "title": None, "transitions": None}
    return {
        "id": name,
        "stage": story.stage,
        "since": rfc3339(story.since),
        "plan": story.plan,
        "title": story.title,
        "transitions": story.moves,
    }


def councils_view(fleet: Fleet, now: float) -> list[dict[str, Any]]:
    """The councils of all roles with their agents, by role."""
    by_role: dict[str, list[dict[str, Any]]] = {}
    for agent in fleet.agents.known:
        by_role.setdefault(agent.role, []).append(agent_view(fleet, agent, now))
    councils = {council.role: council for council in fleet.agents.councils}
    found = []
    for role in sorted(by_role.keys() | councils.keys()):
        agents = sorted(by_role.get(role, []), key=lambda agent: str(agent["id"]))
        council = councils.get(role)
        ready = sum(agent["state"] in (AgentState.IDLE, AgentState.COMPLETED) for agent in agents)
        found.append(
            {
                "id": council.id if council else None,
                "role": role,
                "size": len(agents),
                "ready": ready,
                "expected_size": council.expected if council else None,
                "models": sorted({agent["model"] for agent in agents if agent["model"]}),
                "agents": agents,
            }
        )
    return found


def overview(following: FleetEvents, now: float) -> dict[str, Any]:
    """Data of the live page, without events."""
    fleet = following.fleet
    return {
        "now": rfc3339(now),
        "councils": councils_view(fleet, now),
        "stories": {stage: count for stage, (count, _) in fleet.stories.by_stage().items()},
        "tasks": {stage: count for stage, (count, _) in fleet.tasks.by_stage().items()},
        "deliberations": len(fleet.deliberations.open),
    }


class Roles(Parameters):
    role: Role | None = None


class AgentsQuery(Roles):
    state: Text | None = Field(None, description="State, case-insensitive; each system has its own names.")
    system: Annotated[str, OneOf(_SYSTEMS)] | None = Field(None, description="System that reports the agent.")
    limit: Limit = None


class StoriesQuery(Parameters):
    stage: Text | None = Field(None, description="Stage, case-insensitive (DRAFT, BUILD, …).")
    limit: Limit = None


class TasksQuery(Roles):
    stage: Text | None = Field(None, description="Stage, case-insensitive (todo, implementing, …).")
    story: Text | None = Field(None, description="Story id.")
    limit: Limit = None


class DeliberationsQuery(Roles):
    story: Text | None = Field(None, description="Story id.")
    limit: Limit = None


def _agent_details(fleet: Fleet, agent: Agent) -> dict[str, Any]:
    history = [
        {
            "task": done.task,
            "story": done.story,
            "outcome": done.outcome,
            "duration_seconds": done.duration,
            "tokens": done.tokens,
            "error": done.error,
            "at": rfc3339(done.at),
        }
        for done in reversed(agent.history)
    ]
    return agent_view(fleet, agent, time.time()) | {"history": history}


def _task_view(task: Staged) -> dict[str, Any]:
    return {
        "id": task.id,
        "stage": task.stage,
        "since": rfc3339(task.since),
        "story": task.story,
        "role": task.role,
        "transitions": task.moves,
    }


def _deliberation_view(one: Deliberation) -> dict[str, Any]:
    return {
        "task": one.task,
        "role": one.role or None,
        "story": one.story,
        "started": rfc3339(one.started),
        "start_inferred": one.inferred,
        "requested": one.requested,
        "responded": sorted(one.responded),
        "failed": sorted(one.failed),
    }


def router(following: FleetEvents | None, others: Sequence[KnowsAgents]) -> APIRouter:  # noqa: C901 - the sum of small handlers
    """Routes for the current state; 404 if events are not read. `others` are sources with agents."""
    routes = APIRouter(tags=["fleet"])

    def known() -> Fleet:
        if following is None:
            raise HTTPException(404, NO_FLEET)
        if not following.is_caught_up:
            raise HTTPException(503, "stored events are still being read; retry in a moment", {"retry-after": "1"})
        return following.fleet

    def stage_of(stage: str | None, names: Iterable[str]) -> str | None:
        return stage and (closest(stage, {*names}) or stage)

    @routes.get("/api/councils", summary="Councils and their agents", responses=documented(404, 503))
    async def councils(query: Annotated[Roles, Query()]) -> list[dict[str, Any]]:
        return rows(councils_view(known(), time.time()), {"role": role_of(query.role)})

    @routes.get("/api/agents", summary="Agents of all systems with state and task", responses=documented(404, 503))
    async def agents(query: Annotated[AgentsQuery, Query()]) -> list[dict[str, Any]]:
        views = [view for one in others for view in one.agents()]
        if following is not None or not others:
            fleet, now = known(), time.time()
            views = [*(agent_view(fleet, agent, now) for agent in fleet.agents.known), *views]
        state = query.state
        if state is not None:
            states = {*AgentState, *_BOARD_STATES, *(view["state"] for view in views)}
            state = closest(state, states)
            if state is None:
                raise refused("state", f"expected one of {', '.join(sorted(states))}", query.state)
        if query.role is not None:  # the broker's roles can be in any case
            views = [view for view in views if role_of(view["role"]) == role_of(query.role)]
        return rows(views, {"system": query.system, "state": state}, query.limit)

    @routes.get("/api/agents/{agent:path}", summary="One agent and its latest tasks", responses=documented(404, 503))
    async def agent(agent: str, _: NoParameters) -> dict[str, Any]:
        fleet = known()
        found = fleet.agents.known.get(agent)
        if found is None:
            raise HTTPException(404, f"agent {agent} not found")
        return _agent_details(fleet, found)

    @routes.get("/api/stories", summary="Stories with their stages", responses=documented(404, 503))
    async def stories(query: Annotated[StoriesQuery, Query()]) -> list[dict[str, Any]]:
        views = [story_view(story.id, story) for story in known().stories.things]
        return rows(views, {"stage": stage_of(query.stage, (view["stage"] for view in views))}, query.limit)

    @routes.get("/api/fleet/tasks", summary="Tasks from events with their stages", responses=documented(404, 503))
    async def tasks(query: Annotated[TasksQuery, Query()]) -> list[dict[str, Any]]:
        views = [_task_view(task) for task in known().tasks.things]
        stage = stage_of(query.stage, (view["stage"] for view in views))
        return rows(views, {"stage": stage, "role": role_of(query.role), "story": query.story}, query.limit)

    @routes.get("/api/deliberations", summary="Deliberations in progress", responses=documented(404, 503))
    async def deliberations(query: Annotated[DeliberationsQuery, Query()]) -> list[dict[str, Any]]:
        views = [_deliberation_view(one) for one in known().deliberations.open]
        return rows(views, {"role": role_of(query.role), "story": query.story}, query.limit)

    return routes
