"""Agents of all systems: the shared metric and view, and the registry of agents passed from one source to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from exporter.metrics.metric import gauge

AGENTS = gauge(
    "fleet_agents",
    "Agents by system (fleet: from events, board: from task files, broker: from its database), role and state; an agent of "
    "several systems is in each, so select one system.",
    "system",
    "role",
    "state",
)


@runtime_checkable
class KnowsAgents(Protocol):
    """A source with agents."""

    def agents(self) -> list[dict[str, Any]]:
        """Each has at least system, id, role, state, since and task; unknown values are null."""


class Member(NamedTuple):
    """A registered agent of a council, active or not."""

    agent: str
    role: str
    model: str | None


RegisterMembers = Callable[[Iterable[Member]], None]


@runtime_checkable
class AgentRegistry(Protocol):
    """A source that uses registered agents."""

    def register(self, members: Iterable[Member]) -> None: ...


@runtime_checkable
class ListsMembers(Protocol):
    """A source that lists registered agents."""

    def add_registry(self, register: RegisterMembers) -> None: ...


def connect_registries(sources: Sequence[object]) -> None:
    """Connect the sources that list registered agents to the sources that use them."""
    for source in sources:
        for registry in sources:
            if isinstance(source, ListsMembers) and isinstance(registry, AgentRegistry):
                source.add_registry(registry.register)
