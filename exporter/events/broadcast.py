"""Live events: each client has its own queue; a client that reads too slowly is disconnected.

Each source with events has one EventBroadcaster; a client can subscribe to several.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, runtime_checkable

from exporter.events.model import Event
from exporter.metrics.metric import Metric, counter, gauge

CLIENTS = gauge("fleet_exporter_stream_clients", "Clients connected to the live stream.")
DROPPED_CLIENTS = counter(
    "fleet_exporter_stream_dropped_clients_total", "Clients disconnected from the live stream for reading too slowly."
)
METRICS: Final[tuple[Metric, ...]] = (CLIENTS, DROPPED_CLIENTS)

_RECENT_BYTES = 4 * 1024 * 1024
_RECENT_EVENTS = 500
_QUEUE = 2000
_LISTENERS = 200


class TooManyListeners(Exception):
    """The maximum number of clients of the live stream is connected."""


class Listening:
    """Queue of one client; `dropped` is set when the client read too slowly."""

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

    def end(self) -> None:
        """Make `next` return None after the events in the queue."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None after the last one."""
        return await self._queue.get()

    def waiting(self, most: int) -> list[Event]:
        """Queued events, without waiting."""
        found: list[Event] = []
        while len(found) < most and not self._queue.empty():
            event = self._queue.get_nowait()
            if event is None:
                self._queue.put_nowait(None)
                break
            found.append(event)
        return found


class Recent:
    """Recent events, bounded by number and bytes."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0

    def add(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += event.size
        while len(self._events) > _RECENT_EVENTS or self._bytes > _RECENT_BYTES:
            self._bytes -= self._events.popleft().size

    def newest(self, number: int) -> list[Event]:
        """At most that many, oldest first."""
        return list(self._events)[-number:] if number else []


class EventBroadcaster:
    """Live events of one source, and its clients."""

    def __init__(self) -> None:
        self.listeners: set[Listening] = set()
        self.clients = 0
        self.recent = Recent()
        self.too_slow = 0

    def publish(self, event: Event) -> None:
        """Store an event and send it to all clients."""
        self.recent.add(event)
        if not self.listeners:
            return
        for listening in tuple(self.listeners):
            if not listening.offer(event):
                self.listeners.discard(listening)
                self.too_slow += 1

    def disconnect(self) -> None:
        """End the streams of all clients, because the exporter stops."""
        for listening in tuple(self.listeners):
            self.listeners.discard(listening)
            listening.end()


@runtime_checkable
class PublishesEvents(Protocol):
    """A source with live events."""

    @property
    def live(self) -> EventBroadcaster: ...


def is_full(streams: Sequence[EventBroadcaster]) -> bool:
    """Whether the limit is reached; a dropped client counts until its connection is closed."""
    return any(stream.clients >= _LISTENERS for stream in streams)


@contextmanager
def listening_to(streams: Sequence[EventBroadcaster]) -> Iterator[Listening]:
    """A client for the duration of the context. Raises TooManyListeners."""
    if is_full(streams):
        raise TooManyListeners
    for stream in streams:
        stream.clients += 1
    try:
        with listening_within(streams) as one:
            yield one
    finally:
        for stream in streams:
            stream.clients -= 1


@contextmanager
def listening_within(streams: Sequence[EventBroadcaster]) -> Iterator[Listening]:
    """A queue of the exporter's own, which is not a client and has no limit."""
    one = Listening()
    for stream in streams:
        stream.listeners.add(one)
    try:
        yield one
    finally:
        for stream in streams:
            stream.listeners.discard(one)


def newest(streams: Sequence[EventBroadcaster], number: int) -> list[Event]:
    """Recent events of all broadcasters, oldest first."""
    found = [event for stream in streams for event in stream.recent.newest(number)]
    return sorted(found, key=lambda event: event.stored)[-number:] if number else []
