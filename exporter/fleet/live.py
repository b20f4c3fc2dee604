"""Events to whoever listens now: each listener has a queue of its own, and one that is too slow is let go and told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from exporter.fleet.event import Event
from exporter.metric import Metric, Sample, counter, gauge

LISTENERS = gauge("fleet_listeners", "Clients that follow the live stream now.")
TOO_SLOW = counter("fleet_listeners_dropped_total", "Clients of the live stream that read too slowly and were let go.")
METRICS: Final[tuple[Metric, ...]] = (LISTENERS, TOO_SLOW)

_QUEUE = 2000
_LISTENERS = 200


class TooManyListeners(Exception):
    """There is no room for another client of the live stream."""


class Listening:
    """One listener's queue; `dropped` is set when it could not keep up."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE)
        self.dropped = False

    def offer(self, event: Event) -> bool:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped = True
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait(None)
            return False
        return True

    async def next(self) -> Event | None:
        """The next event; None when it was let go."""
        return await self._queue.get()

    def waiting(self, most: int) -> list[Event]:
        """What is there already, without waiting."""
        found: list[Event] = []
        while len(found) < most and not self._queue.empty():
            event = self._queue.get_nowait()
            if event is None:
                self._queue.put_nowait(None)
                break
            found.append(event)
        return found


class LiveStream:
    """All who listen."""

    def __init__(self) -> None:
        self._listening: set[Listening] = set()
        self.too_slow = 0

    def publish(self, event: Event) -> None:
        if not self._listening:
            return
        for listening in tuple(self._listening):
            if not listening.offer(event):
                self._listening.discard(listening)
                self.too_slow += 1

    @contextmanager
    def listening(self) -> Iterator[Listening]:
        """A listener for the time of the context. Raises TooManyListeners."""
        if len(self._listening) >= _LISTENERS:
            raise TooManyListeners
        one = Listening()
        self._listening.add(one)
        try:
            yield one
        finally:
            self._listening.discard(one)

    def samples(self) -> Iterator[Sample]:
        yield LISTENERS(len(self._listening))
        yield TOO_SLOW(self.too_slow)
