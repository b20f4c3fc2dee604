"""Stored events while streams cannot be read: the others are returned, and the page names the ones that are left out."""

from __future__ import annotations

import time

import httpx
from nats.js.api import ConsumerConfig

from exporter.events.history import History
from exporter.events.history import StoragePosition as At
from exporter.events.model import Message
from servers.nats import Nats
from tests.support.fleet_streams import Fleet, Reader, fleet_on
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


async def test_a_page_without_a_readable_stream_is_an_error(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>", max_consumers=1)
        await fleet.js.add_consumer("PLANNING_EVENTS", ConsumerConfig(durable_name="worker"))
        await fleet.says("planning.story.created", story_id="US-1")
    with exporter(variables={"NATS_URL": server.url}) as running:
        for response in await responses(running):
            assert response.status_code == 502
            assert "10026" in response.json()["detail"]
