"""The event consumer during faults: streams are deleted or recreated, deliveries are lost, servers restart or stall."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from exporter.clients.nats_server import NatsServer
from exporter.config.options import Address
from exporter.errors import Reason
from exporter.events.consumer import EventConsumer
from exporter.events.model import Message
from servers.nats import Nats
from tests.support.fault_proxy import FaultProxy, Mode, fault_proxy
from tests.support.fleet_streams import CREATED, Fleet, Reader, fails, fleet_on, has_consumers, reading
from tests.support.pages import Page, eventually

Interruption = Callable[[Fleet, Reader], Awaitable[None]]
POSITION = 'fleet_exporter_stream_position{stream="PLANNING_EVENTS"}'
SKIPPED = 'fleet_exporter_stream_skipped_messages_total{stream="PLANNING_EVENTS"}'
RESTARTS = 'fleet_exporter_stream_restarts_total{{stream="PLANNING_EVENTS",reason="{}"}}'


async def own_consumer(fleet: Fleet) -> str:
    await eventually(lambda: has_consumers(fleet, 1))
    [ours] = await fleet.js.consumers_info("PLANNING_EVENTS")
    return str(ours.name)


async def created_again(fleet: Fleet, _: Reader) -> None:
    await fleet.js.delete_stream("PLANNING_EVENTS")
    await fleet.stream("PLANNING_EVENTS", "planning.>")


async def purged(fleet: Fleet, _: Reader) -> None:
    await fleet.js.purge_stream("PLANNING_EVENTS")


async def consumer_deleted(fleet: Fleet, _: Reader) -> None:
    await fleet.js.delete_consumer("PLANNING_EVENTS", await own_consumer(fleet))


async def restored(fleet: Fleet, reader: Reader) -> None:
    """As from a backup: the reader has been further than the stream now reaches, and reads it again."""
    assert reader.source.consumer is not None
    reader.source.consumer.cursors["PLANNING_EVENTS"].position = 1000
    await fleet.stream("OTHER", "other")
    await reader.shows(CREATED, 2)


@pytest.mark.parametrize(
    ("interruption", "created", "expected"),
    [
        (created_again, 2, {POSITION: 1, SKIPPED: 0}),
        (purged, 2, {POSITION: 2, SKIPPED: 0, RESTARTS.format("recreated"): 0}),
        (consumer_deleted, 2, {POSITION: 2, SKIPPED: 0, RESTARTS.format("consumer"): 1}),
        (restored, 3, {POSITION: 2, SKIPPED: 0, RESTARTS.format("sequence"): 1}),
    ],
    ids=["created again", "purged", "consumer deleted", "restored"],
)
async def test_reading_resumes_after_an_interruption(
    fleet: Fleet, reader: Reader, interruption: Interruption, created: int, expected: Page
) -> None:
    await fleet.says("planning.story.created", story_id="US-1")
    await reader.shows(CREATED, 1)
    await interruption(fleet, reader)
    await fleet.says("planning.story.created", story_id="US-2")
    page = await reader.shows(CREATED, created)
    assert {name: page[name] for name in expected} == expected


async def test_deleted_and_new_streams_are_detected(server: Nats) -> None:
    async with fleet_on(server.url) as fleet, reading(server.url) as reader:
        assert not [name for name in await reader.page() if "PLANNING_EVENTS" in name]
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.says("planning.story.created", story_id="US-1")
        await reader.shows(CREATED, 1)
        await fleet.js.delete_stream("PLANNING_EVENTS")

        async def gone() -> bool:
            return not [name for name in await reader.page() if "PLANNING_EVENTS" in name]

        await eventually(gone)


async def test_a_restart_of_nats_loses_and_duplicates_nothing(server: Nats) -> None:
    async with reading(server.url) as reader:
        async with fleet_on(server.url) as fleet:
            await reader.page()
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            await fleet.says("planning.story.created", story_id="US-1")
            await reader.shows(CREATED, 1)
        await asyncio.to_thread(server.process.stop)
        await eventually(lambda: fails(reader, Reason.UNREACHABLE))
        await asyncio.to_thread(server.process.start)
        async with fleet_on(server.url) as fleet:
            for number in range(3):
                await fleet.says("planning.story.created", story_id=f"US-2{number}")
            page = await reader.shows(CREATED, 4)
            assert page["fleet_exporter_nats_disconnects_total"] == 1
            assert page['fleet_exporter_stream_repeated_messages_total{stream="PLANNING_EVENTS"}'] == 0


@pytest.mark.parametrize("number", [2, 10], ids=["the last of all", "one of many"])
async def test_a_delivery_to_another_client_is_read_again(fleet: Fleet, reader: Reader, number: int) -> None:
    # The server distributes the messages of a consumer among all clients that request some.
    stolen = await fleet.client.subscribe("stolen")
    asking = f"$JS.API.CONSUMER.MSG.NEXT.PLANNING_EVENTS.{await own_consumer(fleet)}"
    await fleet.client.publish(asking, b'{"batch": 5, "expires": 60000000000}', reply="stolen")
    for one in range(number):
        await fleet.says("planning.story.created", story_id=f"US-{one}")
    assert (await stolen.next_msg()).metadata.sequence.consumer == 2
    page = await reader.shows(CREATED, number)
    assert page[RESTARTS.format("gap")] == 1
    assert page[SKIPPED] == 0


async def test_messages_that_the_client_drops_are_counted_and_read_again(fleet: Fleet, reader: Reader) -> None:
    await own_consumer(fleet)
    # A buffer for one message: the others are dropped, as with a slow reader.
    assert reader.source.consumer is not None
    for subscription in reader.source.consumer.connection.client._subs.values():
        if not subscription.subject.endswith(("*", ">")):
            subscription._pending_bytes_limit = 30
    for _ in range(200):
        await fleet.client.publish("planning.story.created", b'{"story_id":"US-1"}')
    await fleet.client.flush()
    page = await reader.shows(CREATED, 200)
    assert page["fleet_exporter_dropped_messages_total"] > 0
    assert page[RESTARTS.format("gap")] >= 1
    assert page[SKIPPED] == 0


async def test_reading_resumes_after_a_silent_server_recovers(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        async with reading(server.url, timeout=30) as reader:
            await reader.page()
            await own_consumer(fleet)
            server.process.pause()
            try:
                await reader.shows(RESTARTS.format("silence"), 1)
            finally:
                server.process.resume()
            await fleet.says("planning.story.created", story_id="US-1")
            page = await reader.shows(CREATED, 1)
            assert page["fleet_exporter_nats_disconnects_total"] == 0


class Interrupted:
    """A Listener that resets all connections at the end of the first replay, when the consumer begins to subscribe."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self.received = 0

    def reset(self) -> None:
        self.received = 0

    def on_replay_complete(self) -> None:
        self._proxy.set(Mode.RESET)
        self._proxy.set(Mode.PASS)

    def message(self, message: Message, *, live: bool) -> None:
        self.received += live and message.stream == "WORK"

    def advisory(self, data: bytes) -> None:
        pass


async def test_a_connection_lost_between_two_subscriptions_is_a_disconnect(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet_on(server.url) as fleet:
        # Work-queue streams are read with a subscription for each subject.
        await fleet.stream("WORK", *(f"work.{number}" for number in range(500)), retention="workqueue")
        with fault_proxy(server.url) as proxy:
            listener = Interrupted(proxy)
            at_proxy = NatsServer(url=(Address(f"nats://{proxy.address}"),))
            consumer = EventConsumer(at_proxy, timeout=5, lookback=60, streams=(), listener=listener)
            running = asyncio.create_task(consumer.run())

            async def receives() -> bool:
                await fleet.says("work.499")
                return listener.received > 0 or running.done()

            await eventually(receives)
            assert not running.done()
            assert consumer.disconnects == 1
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    gc.collect()  # asyncio reports the errors of tasks that no one awaits
    assert not [record for record in caplog.records if record.name == "asyncio"]
