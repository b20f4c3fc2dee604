"""The WebSocket of live events ends with an error that the server can log, instead of staying open without data."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from msgspec.structs import replace

from exporter.events.broadcast import EventBroadcaster
from exporter.events.model import Event, Message, parsed
from exporter.web.api.live import router
from exporter.web.priority import Priority
from tests.support.pages import eventually

SCOPE = {
    "type": "websocket",
    "path": "/ws",
    "raw_path": b"/ws",
    "query_string": b"",
    "headers": [],
    "scheme": "ws",
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
    "subprotocols": [],
}


async def test_an_unexpected_error_ends_the_connection() -> None:
    live, arriving = EventBroadcaster(), asyncio.Queue[dict[str, Any]]()
    app = FastAPI()
    app.include_router(router(None, [live], None, Priority()))
    arriving.put_nowait({"type": "websocket.connect"})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def is_listened_to() -> bool:
        return bool(live.listeners)

    event = parsed(Message("planning.story.created", b'{"story_id": "US-1"}', 1_763_632_800.0))
    assert isinstance(event, Event)
    serving = asyncio.create_task(app(SCOPE, arriving.get, send))
    await eventually(is_listened_to)
    live.publish(event)
    live.publish(replace(event, stored=object()))
    with pytest.raises(TypeError):
        async with asyncio.timeout(30):
            await serving
    assert sent[:2] == ["websocket.accept", "websocket.send"]
    assert not live.listeners
