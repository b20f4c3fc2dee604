"""/api/events/stream (Server-Sent Events) and /ws: live events, optionally after a replay.

A client that reads too slowly is disconnected; other clients are not delayed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, HTTPException, Query, WebSocket, WebSocketDisconnect
from starlette.requests import Request
from starlette.responses import StreamingResponse

from exporter.errors import SourceError
from exporter.events.broadcast import EventBroadcaster, Listening, TooManyListeners, is_full, listening_to, newest
from exporter.events.model import Event
from exporter.events.redaction import REDACT, TEXT_LIMIT, event_view, summary
from exporter.events.replay import Skipped
from exporter.sources.fleet import FleetEvents
from exporter.web.api.event_query import LiveQuery, StreamQuery
from exporter.web.api.filter import EventFilter
from exporter.web.api.fleet import NO_FLEET, overview
from exporter.web.api.problems import documented
from exporter.web.api.search import Searches
from exporter.web.connections import IS_STREAM
from exporter.web.priority import Priority

REPLAY_SECONDS = 900.0
"""Max. seconds of a replay, because it occupies a slot and a connection to NATS."""
TOO_MANY = "the maximum number of clients of the live stream is connected; close one, or retry later"
_OVERVIEW_SECONDS = 1.0
_EVENTS_AT_ONCE = 10
_KEEPALIVE_SECONDS = 15.0


class Part(NamedTuple):
    """One message to a client: `event`, `fleet` (the overview), `replayed`, `dropped` or `error`."""

    kind: str
    data: dict[str, Any]
    id: str = ""
    stored: float = 0.0


class ClientStream:
    """Events for one client: past events since a time, then live events, without gaps or duplicates."""

    def __init__(
        self,
        streams: Sequence[EventBroadcaster],
        following: FleetEvents | None,
        past: Searches | None,
        wanted: EventFilter,
        priority: Priority,
        *,
        with_fleet: bool = False,
        recent: int = 0,
    ) -> None:
        self._streams = streams
        self._recent = recent
        self._following = following
        self._past = past
        self._wanted = wanted
        self._priority = priority
        self._with_fleet = with_fleet
        self._read: dict[str, int] = {}
        self._skipped: Skipped = {}
        self._ends = asyncio.get_running_loop().time() + REPLAY_SECONDS

    def _part(self, event: Event) -> Part:
        self._read[event.stream] = max(self._read.get(event.stream, 0), event.sequence)
        view = self._following.view(event) if self._following else event_view(event, REDACT, TEXT_LIMIT)
        view["summary"] = summary(event)
        return Part("event", view, f"{event.stream}:{event.sequence}" if event.sequence else "", event.stored)

    async def parts(self, since: float | None, speed: float) -> AsyncGenerator[Part, None]:
        """All messages for this client, until it is disconnected."""
        try:
            if since is not None and speed > 0:
                async for part in self._replayed(since, speed):
                    since = max(since, part.stored)
                    yield part
            with listening_to(self._streams) as listening:
                async for part in self._newest():
                    yield part
                if since is not None:
                    async for part in self._replayed(since, 0):
                        yield part
                    unread = {stream: str(error) for stream, error in self._skipped.items()}
                    yield Part("replayed", {"skipped_streams": unread})
                async for part in self._live(listening):
                    yield part
        except TooManyListeners:
            yield Part("error", {"error": TOO_MANY})
        except HTTPException as error:
            yield Part("error", {"error": error.detail})
        except SourceError as error:
            yield Part("error", {"error": str(error)})
        except TimeoutError:
            yield Part(
                "error", {"error": f"the replay took longer than {REPLAY_SECONDS / 60:.0f} minutes; replay less, or faster"}
            )

    async def _newest(self) -> AsyncGenerator[Part, None]:
        for number, event in enumerate(newest(self._streams, self._recent)):
            if number % _EVENTS_AT_ONCE == 0:
                await self._priority.give_way()  # sending does not wait while the client's buffers have room
            if self._wanted.matches(event):
                yield self._part(event)

    async def _replayed(self, since: float, speed: float) -> AsyncGenerator[Part, None]:
        """Past events at `speed` times the original pace; 0: immediately. Raises TimeoutError after REPLAY_SECONDS."""
        began, first = time.monotonic(), None
        if self._past is None:
            return
        with self._past.slot(replay=True):
            async with aclosing(self._past.since(since, self._wanted, self._skipped)) as events:
                while True:
                    async with asyncio.timeout_at(self._ends):
                        event = await anext(events, None)
                        if event is None:
                            return
                        if event.sequence and event.sequence <= self._read.get(event.stream, 0):
                            continue
                        first = event.stored if first is None else first
                        if speed and (pause := (event.stored - first) / speed - (time.monotonic() - began)) > 0:
                            await asyncio.sleep(pause)
                    yield self._part(event)

    async def _live(self, listening: Listening) -> AsyncGenerator[Part, None]:
        sent = 0.0
        while True:
            if self._with_fleet and self._following is not None and time.monotonic() - sent >= _OVERVIEW_SECONDS:
                sent = time.monotonic()
                yield Part("fleet", overview(self._following, time.time()))
            wait = _OVERVIEW_SECONDS if self._with_fleet else _KEEPALIVE_SECONDS
            try:
                async with asyncio.timeout(wait):
                    event = await listening.next()
            except TimeoutError:
                if not self._with_fleet:
                    yield Part("", {})
                continue
            if event is None:
                if listening.dropped:
                    yield Part("dropped", {"error": "the client reads more slowly than events arrive; the stream ends"})
                return
            numbered = event.sequence == 0 or event.sequence > self._read.get(event.stream, 0)
            if numbered and self._wanted.matches(event):
                yield self._part(event)


def _as_server_sent_event(part: Part) -> str:
    if not part.kind:
        return ": alive\n\n"
    name = f"id: {part.id}\n" if part.id else ""
    return f"event: {part.kind}\n{name}data: {msgspec.json.encode(part.data).decode()}\n\n"


def _same_origin(websocket: WebSocket) -> bool:
    """Prevents other sites from reading events with the user's credentials."""
    origin = websocket.headers.get("origin")
    return origin is None or origin.rpartition("://")[2] == websocket.headers.get("host")


def router(
    following: FleetEvents | None, streams: Sequence[EventBroadcaster], past: Searches | None, priority: Priority
) -> APIRouter:
    """The live routes; 404 without a source of events."""
    routes = APIRouter(tags=["events"])

    def opened(wanted: EventFilter, *, replay: bool, with_fleet: bool = False, recent: int = 0) -> ClientStream:
        if not streams:
            raise HTTPException(404, NO_FLEET)
        if is_full(streams):
            raise HTTPException(429, TOO_MANY, {"retry-after": "10"})
        if replay and past is not None:
            past.check_replay()
        return ClientStream(streams, following, past, wanted, priority, with_fleet=with_fleet, recent=recent)

    @routes.get(
        "/api/events/stream",
        summary="Live events (Server-Sent Events)",
        description=_STREAM_DESCRIPTION,
        response_class=StreamingResponse,
        responses=documented(404, 429)
        | {200: {"description": "Events as they are published.", "content": {"text/event-stream": {}}}},
    )
    async def events_stream(request: Request, query: Annotated[StreamQuery, Query()]) -> StreamingResponse:
        # FastAPI's EventSourceResponse runs its generator after status 200 is sent, too late for 404 and 429.
        stream = opened(query.filter, replay=query.replay is not None, with_fleet=query.fleet, recent=query.recent)
        parts = stream.parts(query.since, query.speed)

        async def text() -> AsyncGenerator[str, None]:
            yield ": connected\n\n"
            async with aclosing(parts):
                async for part in parts:
                    yield _as_server_sent_event(part)

        setattr(request.state, IS_STREAM, True)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(text(), media_type="text/event-stream", headers=headers)

    @routes.websocket("/ws")
    async def socket(websocket: WebSocket, query: Annotated[LiveQuery, Query()]) -> None:
        if not _same_origin(websocket):
            raise HTTPException(403, "Origin: expected the exporter's own host; cross-origin requests cannot read events")
        parts = opened(query.filter, replay=query.replay is not None).parts(query.since, query.speed)
        await websocket.accept()
        await _serve(websocket, parts)

    return routes


_STREAM_DESCRIPTION = """Each message has one of these event types:

- `event`: one event, as in /api/events, with a one-line `summary`
- `fleet`: councils, and counts of stories and tasks (with `fleet=true`)
- `replayed`: the replay is complete except for `skipped_streams`, which cannot be read; live events follow
- `dropped`: the client reads too slowly; the stream ends
- `error`: the stream cannot continue; `error` has the reason"""


def websocket_description(stream: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI path item of /ws, derived from /api/events/stream, because OpenAPI does not describe WebSockets."""
    names = LiveQuery.model_fields
    refusals = {status: stream["responses"][status] for status in ("401", "404", "422", "429", "500")}
    foreign = refusals["404"] | {"description": "The request comes from another site."}
    upgrade = {
        "tags": ["events"],
        "summary": "Live events (WebSocket)",
        "description": "A WebSocket handshake. Messages are the same as in /api/events/stream, with their type in `kind`.",
        "operationId": "websocket",
        "parameters": [parameter for parameter in stream["parameters"] if parameter["name"] in names],
        "responses": {"101": {"description": "The connection is a WebSocket."}, "403": foreign, **refusals},
    }
    return {"get": upgrade}


async def _serve(websocket: WebSocket, parts: AsyncGenerator[Part, None]) -> None:
    """Send until the client disconnects or the parts end; raises an unexpected error, which is logged."""
    sending, receiving = asyncio.create_task(_send(websocket, parts)), asyncio.create_task(_receive(websocket))
    try:
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            sending.result()
    except WebSocketDisconnect:
        pass
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


async def _receive(websocket: WebSocket) -> None:
    """Wait until the client disconnects; clients send nothing."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await websocket.receive()


async def _send(websocket: WebSocket, parts: AsyncGenerator[Part, None]) -> None:
    last = ""
    async with aclosing(parts):
        async for part in parts:
            if part.kind:
                last = part.kind
                await websocket.send_text(msgspec.json.encode({"kind": part.kind, **part.data}).decode())
    await websocket.close(*((1013, "dropped") if last in ("dropped", "error") else (1012, "the exporter stops")))
