"""A real nats-server with a small fleet's events, and the exporter on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from servers import nats as nats_servers
from servers.process import wait_for
from tests.support.fleet_streams import fleet_on
from tests.support.process import Exporter, exporter

SECRET = "hunter2"


async def _lived(url: str) -> None:
    async with fleet_on(url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.stream("AGENT_RESPONSES", "agent.response.>")
        await fleet.says("planning.story.created", story_id="US-1", title="=cmd()", token=SECRET)
        await fleet.says("planning.story.transitioned", story_id="US-1", from_state="BACKLOG", to_state="DRAFT")
        for number in (1, 2):
            body = {
                "agent_id": f"agent-dev-00{number}",
                "task_id": "T-1",
                "num_agents": 3,
                "duration_ms": 1500,
                "model": "Q",
            }
            await fleet.says("agent.response.completed", constraints={"story_id": "US-1"}, **body)
        await fleet.says("agent.response.failed", agent_id="agent-qa-001", task_id="T-2", error="no <b>answer</b>")
        await fleet.js.publish("planning.noise", b"not json")


@pytest.fixture(scope="module")
def bus() -> Iterator[str]:
    with nats_servers.start() as server:
        asyncio.run(_lived(server.url))
        yield server.url


@pytest.fixture(scope="module")
def running(bus: str) -> Iterator[Exporter]:
    with exporter(variables={"NATS_URL": bus}) as process:
        councils = f"{process.url}/api/councils"
        wait_for(lambda: httpx.get(councils, timeout=30).status_code == 200, what="the API to know councils")
        yield process
