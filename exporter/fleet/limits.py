"""Limits on memory and series, whatever is published."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from exporter.metrics.metric import OTHER


class Seen(Protocol):
    """An item with the time of its last update, in seconds since 1970."""

    seen: float


K = TypeVar("K")
V = TypeVar("V", bound=Seen)


class Capped(Generic[K, V]):
    """At most `limit` items. A new item replaces the least recently seen one if that was not seen for `grace` seconds.
    A grace of 0 always replaces.

    This keeps a flood of invented names from evicting active items; rejected items are counted in `refused`.

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

    def touch(self, key: K, at: float) -> V | None:
        """The item, marked as seen at `at`."""
        thing = self._things.get(key)
        if thing is not None:
            if at > thing.seen:
                thing.seen = at
            self._things.move_to_end(key)
        return thing

    def add(self, key: K, thing: V) -> bool:
        """Add a new item; False if there is no room."""
        if len(self._things) >= self._limit:
            oldest = next(iter(self._things), None)
            if oldest is None or (self._grace and self._things[oldest].seen > thing.seen - self._grace):
                self.refused += 1
                return False
            self.pop(oldest)
        self._things[key] = thing
        return True

    def pop(self, key: K) -> V | None:
        """Remove an item; all removals use this method."""
        return self._things.pop(key, None)

    def shift(self, seconds: float) -> None:
        """Shift all times by this much after a clock change."""
        for thing in self:
            thing.seen += seconds

    def expire(self, now: float, silence: float) -> list[V]:
        """Remove and return items that were last seen more than `silence` seconds ago.

        Times in the future, left by a stepped or skewed clock, are set to `now`, to avoid keeping the item longer.

        """
        gone = []
        for key, thing in tuple(self._things.items()):
            if thing.seen > now:
                thing.seen = now
            elif thing.seen < now - silence:
                self.pop(key)
                gone.append(thing)
        return gone


class LabelLimiter:
    """Limits label values: known names and further names up to the limit are kept; others become OTHER."""

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

    def label(self, name: str) -> str:
        """The label of a name, without adding or counting it: OTHER if it was never added."""
        return name if name in self._names else OTHER
