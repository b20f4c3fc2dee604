"""Searches of past events: limited in number, with deadlines, cancelled on disconnect, resumable."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import insort
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from exporter.errors import Reason, SourceError
from exporter.events.broadcast import EventBroadcaster, newest
from exporter.events.history import SearchStep, StoragePosition
from exporter.events.model import Event, Message, Unparsed, parsed
from exporter.events.replay import Skipped
from exporter.sources.fleet import FleetEvents
from exporter.web.api.cursor import Cursor, Direction
from exporter.web.api.filter import LATEST, EventFilter
from exporter.web.priority import Priority

DEADLINE = 10.0
"""Max. seconds of a search; it then returns the events found so far."""
_SLOTS, _REPLAYS = 6, 3
"""Max. concurrent searches and replays, and replays among them; each has its own connection and consumers."""
_PAGE_BYTES = 8 * 1024 * 1024
_TOGETHER = 100
"""Events parsed before yielding: about 5 ms."""

T = TypeVar("T")


class Stopped(StrEnum):
    """Why a page ends before its range."""

    LIMIT = "limit"
    DEADLINE = "deadline"
    SIZE = "size"
    STREAM = "stream"
    """A stream did not respond."""


@dataclass
class Found:
    """One page: events as encoded JSON and as objects in reading order, and the position reached."""

    views: list[dict[str, Any]] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    first: StoragePosition | None = None
    reached: StoragePosition | None = None
    stopped: Stopped | None = None
    skipped: Skipped = field(default_factory=dict)
    """Streams that cannot be read."""

    @property
    def left_out(self) -> dict[str, str]:
        """Why each stream was not read, by name."""
        return {stream: str(error) for stream, error in self.skipped.items()}


def _busy() -> HTTPException:
    detail = f"the maximum of {_SLOTS} searches and replays ({_REPLAYS} replays) is in progress; retry in a moment"
    return HTTPException(429, detail, {"retry-after": "1"})


async def until_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client disconnects. Raises ClientDisconnect."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.create_task(left())
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


class Searches:
    """Reads past events from the streams, and from memory for events that are in no stream."""

    def __init__(self, following: FleetEvents | None, streams: Sequence[EventBroadcaster], priority: Priority) -> None:
        self._following = following
        self._streams = streams
        self._priority = priority
        self._running = self._replays = 0

    def check_replay(self) -> None:
        """Raises HTTPException 429 if no further replay can start."""
        if self._replays == _REPLAYS or self._running == _SLOTS:
            raise _busy()

    @contextlib.contextmanager
    def slot(self, *, replay: bool = False) -> Iterator[None]:
        """A slot shared by searches and replays; replays get at most half. Raises HTTPException 429."""
        if self._running == _SLOTS or (replay and self._replays == _REPLAYS):
            raise _busy()
        self._running += 1
        self._replays += replay
        try:
            yield
        finally:
            self._running -= 1
            self._replays -= replay

    async def page(
        self,
        cursor: Cursor,
        wanted: EventFilter,
        limit: int,
        timeout: float,  # noqa: ASYNC109 - the partial result is kept
        view: Callable[[Event], tuple[dict[str, Any], bytes]],
    ) -> Found:
        """Matching events in the cursor's direction, at most `limit`, within `timeout` seconds.

        Raises SourceError, also if a stream does not respond before there is anything to return.

        """
        found = Found(reached=cursor.place)
        size = 0
        with self.slot(), contextlib.suppress(TimeoutError):
            found.stopped = Stopped.DEADLINE
            try:
                async with asyncio.timeout(timeout), aclosing(self._steps(cursor, wanted, found.skipped)) as steps:
                    async for events, reached in steps:
                        for number, event in enumerate(events):
                            if len(found.views) == limit or size > _PAGE_BYTES:
                                found.stopped = Stopped.LIMIT if len(found.views) == limit else Stopped.SIZE
                                return found
                            if number % _TOGETHER == _TOGETHER - 1:
                                await self._priority.give_way()
                            shown, text = view(event)
                            found.views.append(shown)
                            found.texts.append(text)
                            found.reached = StoragePosition.of(event)
                            found.first = found.first or found.reached
                            size += len(text)
                        found.reached = reached
                        await self._priority.give_way()
            except SourceError as error:
                if error.reason is not Reason.TIMEOUT or found.reached == cursor.place:
                    raise
                found.stopped = Stopped.STREAM
                return found
            found.stopped = None
        return found

    async def since(self, since: float, wanted: EventFilter, skipped: Skipped) -> AsyncGenerator[Event, None]:
        """All matching events since a time, oldest first; `skipped` as in `_steps`. Raises SourceError."""
        cursor = Cursor(Direction.NEWER, since, "", -1, since, None)
        async with aclosing(self._steps(cursor, wanted, skipped)) as steps:
            async for events, _ in steps:
                for event in events:
                    yield event
                await self._priority.give_way()

    async def _steps(
        self, cursor: Cursor, wanted: EventFilter, skipped: Skipped
    ) -> AsyncGenerator[tuple[Sequence[Event], StoragePosition], None]:
        """Matching events in the cursor's direction, and the position up to which all were examined.

        `skipped` receives the streams that cannot be read.

        """
        older = cursor.direction is Direction.OLDER
        until = LATEST if cursor.until is None else cursor.until
        memory = self._unnumbered(cursor, wanted)
        sign = -1 if older else 1

        def order(event: Event) -> tuple[float, str, int]:
            return StoragePosition.of(event)

        if self._following is not None:
            async with self._following.history() as history:
                steps: AsyncGenerator[SearchStep, None] = (
                    history.older(cursor.place, cursor.since, wanted.may_match)
                    if older
                    else history.newer(cursor.place, until, wanted.may_match)
                )
                skipped |= history.skipped
                history.skipped = skipped
                async with aclosing(steps):
                    async for messages, reached in steps:
                        events = await self._parsed(messages, wanted)
                        while memory and (order(memory[0]) > reached if older else order(memory[0]) <= reached):
                            insort(events, memory.pop(0), key=lambda event: (sign * event.stored, event.stream))
                        yield events, reached
        if memory:
            yield memory, StoragePosition.of(memory[-1])

    async def _parsed(self, messages: Sequence[Message], wanted: EventFilter) -> list[Event]:
        found = []
        for number, message in enumerate(messages):
            event = parsed(message)
            if not isinstance(event, Unparsed) and wanted.matches(event):
                found.append(event)
            if number % _TOGETHER == _TOGETHER - 1:
                await self._priority.give_way()
        return found

    def _unnumbered(self, cursor: Cursor, wanted: EventFilter) -> list[Event]:
        """Events in memory that are in no stream, in reading order."""
        older = cursor.direction is Direction.OLDER
        until = LATEST if cursor.until is None else cursor.until
        events = [
            event
            for event in newest(self._streams, 100_000)
            if not event.sequence
            and cursor.since <= event.stored <= until
            and (StoragePosition.of(event) < cursor.place if older else StoragePosition.of(event) > cursor.place)
            and wanted.matches(event)
        ]
        return sorted(events, key=StoragePosition.of, reverse=older)
