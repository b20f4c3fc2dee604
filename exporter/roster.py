"""Who is known to be in the fleet: told by the source that asks the orchestrator, taken by the one that follows events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from exporter.source import Source


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


def introduce(sources: Sequence[Source]) -> None:
    """Connect those who learn the roster with those who want it."""
    for teller in sources:
        for taker in sources:
            if isinstance(teller, TellsRoster) and isinstance(taker, TakesRoster):
                teller.tell_roster_to(taker.meet)
