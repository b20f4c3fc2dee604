"""/api/events and /api/stories/{id}: past events in pages, as JSON, NDJSON or CSV."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import Field
from starlette.responses import Response

from exporter.events.model import Event
from exporter.events.redaction import REDACT, TEXT_LIMIT, event_view
from exporter.metrics.timestamps import rfc3339
from exporter.sources.fleet import FleetEvents
from exporter.web.api.cursor import Cursor, Direction
from exporter.web.api.event_query import EventConditions, Moment
from exporter.web.api.filter import LATEST, EventFilter, moment
from exporter.web.api.fleet import NO_FLEET, story_view
from exporter.web.api.parameters import MAX_LIMIT, Parameters
from exporter.web.api.problems import documented, refused
from exporter.web.api.search import DEADLINE, Found, Searches, until_client_leaves
from exporter.web.api.table import csv_row


class EventsFormat(StrEnum):
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class Order(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"


_COLUMNS = ("time", "subject", "type", "producer", "story", "task", "agent", "role", "outcome", "duration_seconds",
            "tokens", "model", "error", "size_bytes", "stream", "sequence")  # fmt: skip
_CURSOR = "`next` or `previous` of an earlier response; replaces `since` and `until` by the range of its first page."


class PageQuery(Parameters):
    """The part of the past to return."""

    since: Moment = Field("5m", description="Start of the range: a duration before now (5m, 1h30m) or a time.")
    until: Moment | None = Field(None, description="End of the range: a duration before now or a time; default: open.")
    order: Order = Field(Order.NEWEST, description="Which event comes first.")
    limit: int = Field(1000, ge=1, le=MAX_LIMIT, description="Maximum number of events.")
    timeout: float = Field(DEADLINE, ge=0.1, le=DEADLINE, description="Maximum seconds to search.")
    cursor: str | None = Field(None, max_length=1000, description=_CURSOR)

    def start(self) -> Cursor:
        """The position at which the page starts. Raises RequestValidationError."""
        if self.cursor is not None:
            try:
                return Cursor.parsed(self.cursor)
            except ValueError as error:
                raise refused("cursor", str(error), self.cursor) from None
        now = time.time()
        since = moment(self.since, now)
        until = None if self.until is None else moment(self.until, now)
        if until is not None and until < since:
            raise refused("until", "expected a time after since", self.until)
        if self.order is Order.OLDEST:
            return Cursor(Direction.NEWER, since, "", -1, since, until)
        return Cursor(Direction.OLDER, LATEST if until is None else until, "\U0010ffff", 0, since, until)


class EventsQuery(EventConditions, PageQuery):
    format: EventsFormat = Field(EventsFormat.JSON, description="json, ndjson, or csv (without payloads).")


class StoryQuery(PageQuery):
    since: Moment = Field("30d", description="Start of the range: a duration before now or a time.")
    order: Order = Field(Order.OLDEST, description="Which event comes first.")


def links(query: PageQuery, start: Cursor, found: Found) -> dict[str, str | None]:
    """Cursors of the adjacent pages; `next` is null at the end, `previous` if there is no earlier page."""

    def text(cursor: Cursor | None) -> str | None:
        return None if cursor is None else cursor.text

    ahead, behind = (Direction.OLDER, Direction.NEWER), (Direction.NEWER, Direction.OLDER)
    same, opposite = ahead if start.direction is Direction.OLDER else behind
    onward = None if found.stopped is None else start.at(same, found.reached or start.place)
    if found.first is not None:
        back: Cursor | None = start.at(opposite, found.first)
    elif query.cursor is None:
        back = start.at(Direction.NEWER, start.place._replace(stored=start.since, stream="", sequence=-1))
    else:  # the position itself belongs to the previous page
        back = start.at(opposite, start.place._replace(sequence=start.sequence + (1 if same is Direction.NEWER else -1)))
    forwards = (query.order is Order.NEWEST) == (start.direction is Direction.OLDER)
    if forwards:
        if query.cursor is None and (query.order is Order.OLDEST or start.until is not None):
            back = None
        return {"next": text(onward), "previous": text(back)}
    if onward is None and start.direction is Direction.NEWER and start.until is None:
        onward = start.at(same, found.reached or start.place)  # more events can follow
    return {"next": text(back), "previous": text(onward)}


def link_header(request: Request, cursors: Mapping[str, str | None]) -> dict[str, str]:
    """The Link header (RFC 8288) with the adjacent pages."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    found = []
    for name, relation in (("next", "next"), ("previous", "prev")):
        if cursor := cursors[name]:
            found.append(f'<?{urlencode([*given, ("cursor", cursor)])}>; rel="{relation}"')
    return {"link": ", ".join(found)} if found else {}


def router(following: FleetEvents | None, searches: Searches | None) -> APIRouter:
    """Routes for past events; 404 without a source of events."""
    routes = APIRouter(tags=["events"])

    def view(event: Event) -> tuple[dict[str, Any], bytes]:
        shown = following.view(event) if following is not None else event_view(event, REDACT, TEXT_LIMIT)
        return shown, msgspec.json.encode(shown)

    async def read(request: Request, query: PageQuery, wanted: EventFilter) -> tuple[Found, dict[str, Any]]:
        """A page in the requested order, with its position."""
        if searches is None:
            raise HTTPException(404, NO_FLEET)
        start = query.start()
        found = await until_client_leaves(request, searches.page(start, wanted, query.limit, query.timeout, view))
        cursors = links(query, start, found)
        if (query.order is Order.NEWEST) != (start.direction is Direction.OLDER):
            found.views.reverse()
            found.texts.reverse()
        read_to = found.reached.stored if found.stopped and found.reached else None
        return found, {
            **cursors,
            "truncated": found.stopped is not None,
            "stopped": found.stopped,
            "skipped_streams": found.left_out,
            "read_to": rfc3339(read_to) if read_to is not None and read_to < LATEST else None,
        }

    @routes.get(
        "/api/events",
        summary="Past events, newest first, in pages",
        description=_EVENTS_DESCRIPTION,
        response_class=Response,
        responses=documented(404, 429, 502)
        | {200: {"description": "A page of events.", "content": {media: {} for media in _MEDIA.values()}}},
    )
    async def events(request: Request, query: Annotated[EventsQuery, Query()]) -> Response:
        found, about = await read(request, query, query.filter)
        if query.format is EventsFormat.CSV:
            table = [csv_row(_COLUMNS), *(csv_row([shown[name] for name in _COLUMNS]) for shown in found.views)]
            body = "".join(table).encode()
        elif query.format is EventsFormat.NDJSON:
            body = b"".join(text + b"\n" for text in found.texts)
        else:
            body = b'{"events":[' + b",".join(found.texts) + b"]," + msgspec.json.encode(about)[1:]
        headers = link_header(request, {name: about[name] for name in ("next", "previous")})
        if found.skipped:
            headers["x-skipped-streams"] = ", ".join(map(quote, found.skipped))  # NDJSON and CSV have no other place
        return Response(body, media_type=_MEDIA[query.format], headers=headers)

    @routes.get(
        "/api/stories/{story:path}",
        summary="A story's stage and its timeline, oldest first, in pages",
        responses=documented(404, 429, 502),
    )
    async def story(
        story: str, request: Request, response: Response, query: Annotated[StoryQuery, Query()]
    ) -> dict[str, Any]:
        if following is None:
            raise HTTPException(404, NO_FLEET)
        found, about = await read(request, query, EventFilter(story=story))
        known = following.fleet.stories.things.get(story)
        if known is None and not found.views and not about["truncated"] and query.cursor is None:
            unread = f" in the streams that can be read; not read: {', '.join(found.skipped)}" if found.skipped else ""
            raise HTTPException(404, f"story {story} not found{unread}")
        response.headers.update(link_header(request, {name: about[name] for name in ("next", "previous")}))
        return {"story": story_view(story, known), "events": found.views, **about}

    return routes


_MEDIA = {
    EventsFormat.JSON: "application/json",
    EventsFormat.NDJSON: "application/x-ndjson",
    EventsFormat.CSV: "text/csv; charset=utf-8",
}
_EVENTS_DESCRIPTION = """A page ends at `limit` events, after `timeout` seconds, or at 8 MiB. `stopped` contains the reason,
`read_to` the time up to which all events were read. Pass `next` as `cursor` for the next page and `previous` for the
previous one; both are also in the `Link` header. Cursors stay valid while events arrive: no event is repeated or
skipped. With `order=newest` and no `until`, `previous` returns events published since.
`skipped_streams` has the streams that NATS does not let the exporter read, with the error; so has the header
`X-Skipped-Streams`, without the error. If a stream does not respond, the page ends before its first missing event with
`stopped: stream`, and `next` continues there; without any event before it, the status is 502."""
