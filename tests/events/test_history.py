"""Stored events while streams cannot be read: the others are returned, and the page names the ones that are left out."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from nats.js.api import ConsumerConfig

from exporter.events.history import History
from exporter.events.history import StoragePosition as At
from exporter.events.model import Event, Message
from exporter.web.api.cursor import Cursor, Direction
from exporter.web.api.filter import LATEST, EventFilter
from exporter.web.api.search import Searches, Stopped
from exporter.web.priority import Priority
from servers import nats as nats_servers
from servers.nats import Nats
from tests.support.fleet_streams import Fleet, Reader, fleet_on, reading
from tests.support.process import Exporter, exporter


def any_message(_: Message) -> bool:
    return True


async def both_ways(history: History) -> tuple[list[str], list[str]]:
    """The streams of all messages, oldest first and newest first."""
    later = time.time() + 60
    newer = [one.stream async for step in history.newer(At.before(0), later, any_message) for one in step.messages]
    older = [one.stream async for step in history.older(At.after(later), 0, any_message) for one in step.messages]
    return newer, older


async def responses(running: Exporter) -> list[httpx.Response]:
    """Pages of events in both orders."""
    async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
        return [await client.get("/api/events", params={"since": "1h", "order": order}) for order in ("newest", "oldest")]


async def filled(fleet: Fleet) -> None:
    """Two messages in PLANNING_EVENTS, and one in a stream whose only consumer exists."""
    await fleet.stream("FULL", "full.>", max_consumers=1)
    await fleet.js.add_consumer("FULL", ConsumerConfig(durable_name="worker"))
    for story in ("US-1", "US-2"):
        await fleet.says("planning.story.created", story_id=story)
    await fleet.says("full.happened")


async def test_a_stream_that_refuses_a_consumer_is_left_out(fleet: Fleet, reader: Reader) -> None:
    await filled(fleet)
    async with reader.source.history() as history:
        assert await both_ways(history) == (["PLANNING_EVENTS"] * 2, ["PLANNING_EVENTS"] * 2)
        assert history.skipped.keys() == {"FULL"}


async def test_a_stream_that_is_deleted_meanwhile_is_left_out(fleet: Fleet, reader: Reader) -> None:
    await filled(fleet)
    async with reader.source.history() as history:
        await fleet.js.delete_stream("FULL")
        assert await both_ways(history) == (["PLANNING_EVENTS"] * 2, ["PLANNING_EVENTS"] * 2)


async def test_a_page_of_events_names_the_streams_that_it_leaves_out(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await filled(fleet)
    with exporter(variables={"NATS_URL": server.url}) as running:
        for response in await responses(running):
            assert response.status_code == 200, response.text
            page = response.json()
            assert [event["stream"] for event in page["events"]] == ["PLANNING_EVENTS"] * 2
            assert "10026" in page["skipped_streams"]["FULL"]
            assert response.headers["x-skipped-streams"] == "FULL"
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
            unknown = await client.get("/api/stories/US-9")
        assert unknown.json()["detail"].endswith("not found in the streams that can be read; not read: FULL")


async def test_a_page_without_a_readable_stream_is_an_error(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>", max_consumers=1)
        await fleet.js.add_consumer("PLANNING_EVENTS", ConsumerConfig(durable_name="worker"))
        await fleet.says("planning.story.created", story_id="US-1")
    with exporter(variables={"NATS_URL": server.url}) as running:
        for response in await responses(running):
            assert response.status_code == 502
            assert "10026" in response.json()["detail"]


SILENT = """
accounts { fleet { jetstream: enabled, users: [{ user: fleet, password: f }],
                   mappings: { "$JS.API.CONSUMER.CREATE.SLOW.*": "silent.$1" } } }
"""
"""Requests for a consumer of the stream SLOW reach a subscriber instead of JetStream."""


@asynccontextmanager
async def unresponsive() -> AsyncIterator[Exporter]:
    """An exporter on two streams, of which SLOW never responds."""

    async def ignored(_: Any) -> None:
        pass

    with nats_servers.start(config=SILENT) as server:
        url = server.url.replace("//", "//fleet:f@")
        async with fleet_on(url) as fleet:
            await fleet.client.subscribe("silent.>", cb=ignored)
            for stream in ("PLANNING", "SLOW"):
                await fleet.stream(stream, f"{stream.lower()}.>")
                await fleet.says(f"{stream.lower()}.happened", story_id="US-1")
            with exporter("--fleet.timeout=1", variables={"NATS_URL": url}) as running:
                yield running


async def test_a_page_without_a_stream_that_does_not_respond_is_an_error() -> None:
    async with unresponsive() as running, httpx.AsyncClient(base_url=running.url, timeout=30) as client:
        for query in ({"order": "newest"}, {"order": "oldest"}, {"format": "csv"}, {"format": "ndjson"}):
            response = await client.get("/api/events", params={"since": "1h", **query})
            assert response.status_code == 502, query
            assert "stream SLOW does not respond" in response.json()["detail"]
        async with client.stream("GET", "/api/events/stream", params={"replay": "1h"}) as stream:
            lines = [line async for line in stream.aiter_lines() if line.startswith(("event: ", "data: "))]

    assert lines[-2] == "event: error"
    assert "stream SLOW does not respond" in json.loads(lines[-1].removeprefix("data: "))["error"]


def view(event: Event) -> tuple[dict[str, Any], bytes]:
    return {"sequence": event.sequence}, msgspec.json.encode(event.sequence)


async def test_a_page_ends_where_a_stream_stops_responding_and_continues_there(server: Nats) -> None:
    async with fleet_on(server.url) as fleet, reading(server.url, timeout=1) as reader:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        for number in range(700):  # more than one chunk
            await fleet.client.publish("planning.story.created", f'{{"story_id": "US-{number}"}}'.encode())
        await fleet.client.flush()
        searches = Searches(reader.source, (), Priority())
        start = Cursor(Direction.OLDER, LATEST, "\U0010ffff", 0, 0, None)

        def last_view(event: Event) -> tuple[dict[str, Any], bytes]:
            server.process.pause()
            return view(event)

        try:
            first = await searches.page(start, EventFilter(), 1000, 10, last_view)
        finally:
            server.process.resume()
        assert first.stopped is Stopped.STREAM
        assert first.left_out.keys() == {"PLANNING_EVENTS"}
        assert first.reached is not None
        rest = await searches.page(start.at(Direction.OLDER, first.reached), EventFilter(), 1000, 10, view)

    assert rest.stopped is None
    assert [shown["sequence"] for shown in [*first.views, *rest.views]] == list(range(700, 0, -1))
    assert 0 < len(first.views) < 700
