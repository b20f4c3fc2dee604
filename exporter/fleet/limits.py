"""What keeps memory and series bounded whatever the fleet, or somebody in its name, sends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from exporter.events.subjects import OTHER


class Seen(Protocol):
    """Something that is kept by the time it was last heard of, in seconds since 1970."""

    seen: float


K = TypeVar("K")
V = TypeVar("V", bound=Seen)


class Capped(Generic[K, V]):
    """At most `limit` things. A new one displaces the one longest unheard of, if that was `grace` seconds ago at least.
    A grace of 0 lets every new one in.

    So a flood of invented names cannot push out what is alive; what it could not add is counted in `refused`.
    """

    def __init__(self, limit: int, *, grace: float = 300.0) -> None:
        self._limit = limit
        self._grace = grace
        self._things: OrderedDict[K, V] = OrderedDict()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[V]:
        return iter(self._things.values())

    def __contains__(self, key: K) -> bool:
        return key in self._things

    def items(self) -> Iterable[tuple[K, V]]:
        return self._things.items()

    def get(self, key: K) -> V | None:
        return self._things.get(key)

    def heard(self, key: K, at: float) -> V | None:
        """The thing, marked as heard of."""
        thing = self._things.get(key)
        if thing is not None:
            if at > thing.seen:
                thing.seen = at
            self._things.move_to_end(key)
        return thing

    def add(self, key: K, thing: V) -> bool:
        """Keep a new thing; False where there is no room for it."""
        if len(self._things) >= self._limit:
            oldest = next(iter(self._things), None)
            if oldest is None or (self._grace and self._things[oldest].seen > thing.seen - self._grace):
                self.refused += 1
                return False
            self.pop(oldest)
        self._things[key] = thing
        return True

    def pop(self, key: K) -> V | None:
        """Let go of a thing; all that goes, goes by here."""
        return self._things.pop(key, None)

    def shift(self, seconds: float) -> None:
        """Move every time by this much: the clock was set."""
        for thing in self:
            thing.seen += seconds

    def expire(self, now: float, silence: float) -> list[V]:
        """Remove and return what was last heard of more than `silence` seconds ago.

        A time in the future, which a stepping or skewed clock leaves behind, becomes `now`: it must not be kept longer.
        """
        gone = []
        for key, thing in tuple(self._things.items()):
            if thing.seen > now:
                thing.seen = now
            elif thing.seen < now - silence:
                self.pop(key)
                gone.append(thing)
        return gone


class Admitted:
    """Names that may be label values: those known beforehand, and others until the limit; OTHER after that."""

    def __init__(self, limit: int, known: Iterable[str] = ()) -> None:
        self._names = set(known)
        self._limit = max(limit, len(self._names))
        self.refused = 0

    def __call__(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= self._limit:
            self.refused += 1
            return OTHER
        self._names.add(name)
        return name
