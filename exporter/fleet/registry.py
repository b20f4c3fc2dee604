"""Agents of every system: the metric and the view they share, and the roster that one source learns for another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from exporter.metrics.metric import gauge

AGENTS = gauge(
    "fleet_agents",
    "Agents by system (fleet: from events, board: from task files, broker: from its database), role and state.",
    "system",
    "role",
    "state",
)


@runtime_checkable
class KnowsAgents(Protocol):
    """A source with agents of its own."""

    def agents(self) -> list[dict[str, Any]]:
        """Each with at least system, id, role, state, since and task; what is not known is null."""


class Member(NamedTuple):
    """An agent that its council has, whatever it does."""

    agent: str
    role: str
    model: str | None


Meet = Callable[[Iterable[Member]], None]


@runtime_checkable
class TakesRoster(Protocol):
    """A source that wants to know who is there."""

    def meet(self, members: Iterable[Member]) -> None: ...


@runtime_checkable
class TellsRoster(Protocol):
    """A source that learns who is there."""

    def tell_roster_to(self, meet: Meet) -> None: ...


def introduce(sources: Sequence[object]) -> None:
    """Connect those who learn the roster with those who want it."""
    for teller in sources:
        for taker in sources:
            if isinstance(teller, TellsRoster) and isinstance(taker, TakesRoster):
                teller.tell_roster_to(taker.meet)
