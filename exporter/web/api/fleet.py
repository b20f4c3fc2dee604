"""/api/councils, /api/agents, /api/stories, /api/deliberations: the fleet as its events tell of it, now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from exporter.events.model import role_of
from exporter.events.redaction import timestamp
from exporter.fleet.agents import Agent, AgentState
from exporter.fleet.registry import KnowsAgents
from exporter.fleet.stages import Staged
from exporter.fleet.state import Fleet
from exporter.sources.fleet import FleetEvents
from exporter.sources.fleet.samples import SYSTEM

NO_FLEET = "no events are followed: give NATS an address (--jetstream.url or NATS_URL)"


def agent_view(fleet: Fleet, agent: Agent, now: float) -> dict[str, Any]:
    """An agent without its history."""
    state, since = fleet.agents.state_of(agent, now)
    return {
        "system": SYSTEM,
        "id": agent.id,
        "role": agent.role,
        "state": state,
        "since": timestamp(since),
        "task": agent.task,
        "story": agent.story,
        "model": agent.model,
        "last_heard": timestamp(agent.seen),
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
        "since": timestamp(story.since),
        "plan": story.plan,
        "title": story.title,
        "transitions": story.moves,
    }


def councils_view(fleet: Fleet, now: float) -> list[dict[str, Any]]:
    """Every role's council with its agents, by role."""
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
    """What the live page shows beside the events."""
    fleet = following.fleet
    return {
        "now": timestamp(now),
        "councils": councils_view(fleet, now),
        "stories": {stage: count for stage, (count, _) in fleet.stories.by_stage().items()},
        "tasks": {stage: count for stage, (count, _) in fleet.tasks.by_stage().items()},
        "deliberations": len(fleet.deliberations.open),
    }


def router(following: FleetEvents | None, others: Sequence[KnowsAgents]) -> APIRouter:
    """Routes that answer from what is known; without events to follow they say so. `others` have agents of their own."""
    routes = APIRouter(tags=["fleet"])

    def known() -> Fleet:
        if following is None:
            raise HTTPException(404, NO_FLEET)
        if not following.is_caught_up:
            raise HTTPException(503, "the fleet's past is still being read; ask again in a moment")
        return following.fleet

    @routes.get("/api/councils", summary="Councils and their agents")
    async def councils() -> list[dict[str, Any]]:
        return councils_view(known(), time.time())

    @routes.get("/api/agents", summary="Agents of every system with state and task")
    async def agents(
        role: Annotated[str | None, Query(description="Role, in any case.")] = None,
        state: Annotated[str | None, Query(description="State, as the agent's system calls it.")] = None,
        system: Annotated[str | None, Query(description="fleet, board or broker.")] = None,
    ) -> list[dict[str, Any]]:
        views = [view for one in others for view in one.agents()]
        if following is not None or not others:
            fleet, now = known(), time.time()
            views = [*(agent_view(fleet, agent, now) for agent in fleet.agents.known), *views]
        wanted = (("system", system), ("role", role_of(role)), ("state", state))
        return [view for view in views if all(not asked or view[name] == asked for name, asked in wanted)]

    @routes.get("/api/agents/{agent}", summary="One agent and its last tasks")
    async def agent(agent: str) -> dict[str, Any]:
        fleet = known()
        found = fleet.agents.known.get(agent)
        if found is None:
            raise HTTPException(404, f"nothing is known of an agent {agent}")
        history = [
            {
                "task": done.task,
                "story": done.story,
                "outcome": done.outcome,
                "duration_seconds": done.duration,
                "tokens": done.tokens,
                "error": done.error,
                "at": timestamp(done.at),
            }
            for done in reversed(found.history)
        ]
        return agent_view(fleet, found, time.time()) | {"history": history}

    @routes.get("/api/stories", summary="Stories and the stage each is in")
    async def stories() -> list[dict[str, Any]]:
        return [story_view(story.id, story) for story in known().stories.things]

    @routes.get("/api/fleet/tasks", summary="The fleet's tasks and the stage each is in")
    async def tasks() -> list[dict[str, Any]]:
        return [
            {
                "id": task.id,
                "stage": task.stage,
                "since": timestamp(task.since),
                "story": task.story,
                "role": task.role,
                "transitions": task.moves,
            }
            for task in known().tasks.things
        ]

    @routes.get("/api/deliberations", summary="Deliberations under way")
    async def deliberations() -> list[dict[str, Any]]:
        return [
            {
                "task": one.task,
                "role": one.role or None,
                "story": one.story,
                "started": timestamp(one.started),
                "start_inferred": one.inferred,
                "asked": one.asked,
                "answered": sorted(one.answered),
                "failed": sorted(one.failed),
            }
            for one in known().deliberations.open
        ]

    return routes
