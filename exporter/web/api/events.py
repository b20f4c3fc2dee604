"""/api/events and /api/stories/{id}: what the streams still hold, as JSON, NDJSON or CSV."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query
from starlette.responses import StreamingResponse

from exporter.errors import SourceError
from exporter.events.broadcast import LiveStream, newest
from exporter.events.model import Event, Unparsed, parsed
from exporter.events.redaction import REDACT, TEXT_LIMIT, event_view
from exporter.sources.fleet import FleetEvents
from exporter.web.api.filter import EventFilter, moment
from exporter.web.api.fleet import NO_FLEET, story_view
from exporter.web.api.table import csv_row

_SCAN_SECONDS = 20.0
"""A search ends after this long whatever it found: streams may hold millions of messages."""

MOST = 10_000
_READERS_AT_ONCE = 4


class Format(StrEnum):
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class Busy(Exception):
    """As many searches as are allowed at once are under way."""


class Past:
    """Searches of the streams' past, few at once: each has a connection and consumers of its own."""

    def __init__(self, following: FleetEvents | None, streams: Sequence[LiveStream]) -> None:
        self._following = following
        self._streams = streams
        self._free = _READERS_AT_ONCE

    async def events(self, since: float, wanted: EventFilter) -> AsyncGenerator[Event, None]:
        """Matching events since a time, in order of storing. Raises Busy or SourceError."""
        if not self._free:
            raise Busy
        self._free -= 1
        try:
            # What was only listened to is in no stream; of that the last events are remembered.
            unnumbered = [
                event
                for event in newest(self._streams, MOST)
                if not event.sequence and event.stored >= since and wanted.matches(event)
            ]
            if self._following is not None:
                async with aclosing(self._following.past(since)) as batches:
                    async for messages in batches:
                        for message in messages:
                            while unnumbered and unnumbered[0].stored < message.stored:
                                yield unnumbered.pop(0)
                            if wanted.may_match(message):
                                event = parsed(message)
                                if not isinstance(event, Unparsed) and wanted.matches(event):
                                    yield event
            for event in unnumbered:
                yield event
        finally:
            self._free += 1


def since_of(text: str) -> float:
    """The time that a client gave. Raises HTTPException 422."""
    try:
        return moment(text, time.time())
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


_COLUMNS = ("time", "subject", "type", "producer", "story", "task", "agent", "role", "outcome", "duration_seconds",
            "tokens", "model", "error", "size_bytes", "stream", "sequence")  # fmt: skip
_MEDIA = {Format.JSON: "application/json", Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv; charset=utf-8"}


async def _written(
    events: AsyncGenerator[Event, None], limit: int, as_format: Format, view: Callable[[Event], dict[str, Any]]
) -> AsyncGenerator[str, None]:
    """The answer's text, piece by piece; JSON says at its end whether there was more."""
    if as_format is Format.CSV:
        yield csv_row(_COLUMNS)
    elif as_format is Format.JSON:
        yield '{"events":['
    number, truncated, problem = 0, False, None
    until = time.monotonic() + _SCAN_SECONDS
    try:
        async with aclosing(events) as found:
            async for event in found:
                if number >= limit or time.monotonic() > until:
                    truncated = True
                    break
                shown = view(event)
                if as_format is Format.CSV:
                    yield csv_row([shown[name] for name in _COLUMNS])
                else:
                    text = msgspec.json.encode(shown).decode()
                    yield f"{text}\n" if as_format is Format.NDJSON else f"{',' if number else ''}{text}"
                number += 1
    except SourceError as error:
        problem = str(error)
    if as_format is Format.JSON:
        end = {"truncated": truncated or problem is not None, "error": problem}
        yield f"],{msgspec.json.encode(end).decode()[1:]}"


def router(following: FleetEvents | None, streams: Sequence[LiveStream]) -> APIRouter:
    """Routes that read the streams; without anything that tells events they say so."""
    routes = APIRouter(tags=["events"])
    past = Past(following, streams) if streams else None

    def view(event: Event) -> dict[str, Any]:
        return following.view(event) if following is not None else event_view(event, REDACT, TEXT_LIMIT)

    async def begun(since: float, wanted: EventFilter) -> AsyncGenerator[Event, None]:
        """The search with its first event already read, so that what is wrong has a status of its own."""
        if past is None:
            raise HTTPException(404, NO_FLEET)
        events = past.events(since, wanted)
        try:
            first = await anext(events, None)
        except Busy:
            raise HTTPException(503, "other searches are under way; ask again in a moment") from None
        except SourceError as error:
            raise HTTPException(502, str(error)) from None

        async def all_of_them() -> AsyncGenerator[Event, None]:
            async with aclosing(events):
                if first is not None:
                    yield first
                async for event in events:
                    yield event

        return all_of_them()

    @routes.get("/api/events", summary="Events that the streams still hold, the oldest first")
    async def events(
        wanted: Annotated[EventFilter, Depends()],
        since: Annotated[str, Query(description="A span before now (5m, 1h30m) or a time.")] = "5m",
        limit: Annotated[int, Query(ge=1, le=MOST, description="Most events to give.")] = 1000,
        format: Annotated[Format, Query(description="json, ndjson or csv (without payloads).")] = Format.JSON,
    ) -> StreamingResponse:
        found = await begun(since_of(since), wanted)
        return StreamingResponse(_written(found, limit, format, view), media_type=_MEDIA[format])

    @routes.get("/api/stories/{story}", summary="A story's stage and its whole timeline")
    async def story(
        story: str,
        since: Annotated[str, Query(description="How far back to look.")] = "30d",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 1000,
    ) -> dict[str, Any]:
        if following is None:
            raise HTTPException(404, NO_FLEET)
        found = await begun(since_of(since), EventFilter(story=story))
        timeline: list[dict[str, Any]] = []
        truncated = False
        until = time.monotonic() + _SCAN_SECONDS
        try:
            async with aclosing(found):
                async for event in found:
                    if len(timeline) >= limit or time.monotonic() > until:
                        truncated = True
                        break
                    timeline.append(following.view(event))
        except SourceError as error:
            raise HTTPException(502, str(error)) from None
        known = following.fleet.stories.things.get(story)
        if known is None and not timeline:
            raise HTTPException(404, f"nothing is known of a story {story}")
        return {"story": story_view(story, known), "events": timeline, "truncated": truncated}

    return routes
