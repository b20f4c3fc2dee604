"""/api/events and /api/stories/{id}: what the streams still hold, as JSON, NDJSON or CSV."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Query
from pydantic import Field
from starlette.responses import StreamingResponse

from exporter.errors import SourceError
from exporter.events.broadcast import LiveStream, newest
from exporter.events.model import Event, Unparsed, parsed
from exporter.events.redaction import REDACT, TEXT_LIMIT, event_view
from exporter.sources.fleet import FleetEvents
from exporter.web.api.event_query import EventConditions, Moment
from exporter.web.api.filter import EventFilter, moment
from exporter.web.api.fleet import NO_FLEET, story_view
from exporter.web.api.parameters import MAX_LIMIT, Parameters
from exporter.web.api.problems import documented
from exporter.web.api.table import csv_row

_SCAN_SECONDS = 20.0
"""A search ends after this long whatever it found: streams may hold millions of messages."""

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
                for event in newest(self._streams, MAX_LIMIT)
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


class EventsQuery(EventConditions):
    since: Moment = Field("5m", description="A span before now (5m, 1h30m) or a time.")
    limit: int = Field(1000, ge=1, le=MAX_LIMIT, description="Maximum number of events.")
    format: Format = Field(Format.JSON, description="json, ndjson, or csv (without payloads).")


class StoryQuery(Parameters):
    since: Moment = Field("30d", description="How far back to read.")
    limit: int = Field(1000, ge=1, le=MAX_LIMIT, description="Maximum number of events.")


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
            raise HTTPException(503, "too many searches are in progress; retry in a moment") from None

        async def all_of_them() -> AsyncGenerator[Event, None]:
            async with aclosing(events):
                if first is not None:
                    yield first
                async for event in events:
                    yield event

        return all_of_them()

    @routes.get(
        "/api/events", summary="Events that the streams still hold, the oldest first", responses=documented(404, 502, 503)
    )
    async def events(query: Annotated[EventsQuery, Query()]) -> StreamingResponse:
        found = await begun(moment(query.since, time.time()), query.filter)
        return StreamingResponse(_written(found, query.limit, query.format, view), media_type=_MEDIA[query.format])

    @routes.get(
        "/api/stories/{story:path}", summary="A story's stage and its whole timeline", responses=documented(404, 502, 503)
    )
    async def story(story: str, query: Annotated[StoryQuery, Query()]) -> dict[str, Any]:
        if following is None:
            raise HTTPException(404, NO_FLEET)
        found = await begun(moment(query.since, time.time()), EventFilter(story=story))
        timeline: list[dict[str, Any]] = []
        truncated = False
        until = time.monotonic() + _SCAN_SECONDS
        async with aclosing(found):
            async for event in found:
                if len(timeline) >= query.limit or time.monotonic() > until:
                    truncated = True
                    break
                timeline.append(following.view(event))
        known = following.fleet.stories.things.get(story)
        if known is None and not timeline:
            raise HTTPException(404, f"story {story} not found")
        return {"story": story_view(story, known), "events": timeline, "truncated": truncated}

    return routes
