"""A fleet that receives events one after the other."""

from __future__ import annotations

import json
from typing import Any

from exporter.events.model import Message, parsed
from exporter.fleet.state import Fleet
from exporter.sources.fleet.samples import samples
from exporter.sources.fleet.snapshot import state_of
from tests.support.pages import series

NOW = 1_763_632_800.0


class Story:
    """A fleet that receives events; default: one second apart."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet = fleet or Fleet()
        self.now = NOW

    def publishes(self, subject: str, after: float = 1.0, **body: Any) -> Story:
        self.now += after
        self.fleet.apply(parsed(Message(subject, json.dumps(body).encode(), self.now, "S", 1)), self.now)
        return self

    def responds(self, number: int, *, role: str = "DEV", failed: bool = False, **more: Any) -> Story:
        agent = {"task_id": "T", "agent_id": f"agent-{role.lower()}-{number}", "role": role}
        body: dict[str, Any] = {"num_agents": 3, "duration_ms": 500, **agent, **more}
        return self.publishes(f"agent.response.{'failed' if failed else 'completed'}", **body)

    def states(self, later: float = 0.0) -> dict[str, str]:
        agents = self.fleet.agents
        return {agent.id: agents.state_of(agent, self.now + later)[0].value for agent in agents.known}

    @property
    def page(self) -> dict[str, float]:
        return series(samples(state_of(self.fleet, self.now)))
