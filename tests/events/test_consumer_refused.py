"""The reader of events with an account that may not read everything."""

from __future__ import annotations

import traceback

import pytest
from nats.js.api import ConsumerConfig

from exporter.errors import Reason
from servers import nats as nats_servers
from servers.nats import Nats
from tests.support.fleet_streams import CREATED, Fleet, events, fails, fleet_on, reading
from tests.support.pages import eventually, raised_by

ACCOUNTS = """
accounts {{ fleet {{ jetstream: enabled, users: [
  {{ user: writer, password: w }}
  {{ user: reader, password: r, permissions: {{ publish: {{ deny: ["$JS.API.CONSUMER.CREATE.{denied}"] }},
                                              subscribe: {{ deny: ["$JS.EVENT.>"] }} }} }}
] }} }}
"""

MODE = 'fleet_exporter_stream_mode{{stream="FULL",mode="{}"}}'
LAG = 'fleet_exporter_stream_lag_messages{{stream="{}"}}'
COMPLETED = events("agent.work.completed", producer="workspace", outcome="completed")


async def test_an_account_without_permission_for_any_stream_is_unauthorized() -> None:
    with nats_servers.start(config=ACCOUNTS.format(denied=">")) as strict:
        async with fleet_on(strict.url.replace("//", "//writer:w@")) as fleet:
            await fleet.stream("PLANNING_EVENTS", "planning.>")
        async with reading(strict.url, user="reader", password="r") as reader:
            await eventually(lambda: fails(reader, Reason.UNAUTHORIZED, "consumer.create.planning_events"))
            first, second = await raised_by(reader.source), await raised_by(reader.source)
            assert str(first) == str(second)
            # One exception raised by every scrape keeps the frames of them all.
            assert len(traceback.extract_tb(first.__traceback__)) == len(traceback.extract_tb(second.__traceback__))
            assert second is not first


async def test_an_account_that_may_not_read_one_stream_reads_the_others() -> None:
    with nats_servers.start(config=ACCOUNTS.format(denied="SECRET.>")) as strict:
        async with fleet_on(strict.url.replace("//", "//writer:w@")) as fleet:
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            await fleet.stream("SECRET", "secret.>")
            async with reading(strict.url, user="reader", password="r") as reader:
                await reader.shows('fleet_exporter_stream_mode{stream="SECRET",mode="refused"}', 1)
                await fleet.says("planning.story.created", story_id="US-1")
                await reader.shows(CREATED, 1)


async def occupied(fleet: Fleet) -> None:
    """A stream whose only consumer exists: JetStream refuses further ones with error 10026 (400)."""
    await fleet.stream("FULL", "agent.work.>", max_consumers=1)
    await fleet.js.add_consumer("FULL", ConsumerConfig(durable_name="worker"))


async def test_a_stream_without_room_for_a_consumer_is_refused_at_startup_and_read_later(
    server: Nats, fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    await occupied(fleet)
    await fleet.says("planning.story.created", story_id="US-1")
    async with reading(server.url) as reader:
        page = await reader.page()
        assert page[MODE.format("refused")] == 1
        assert page['fleet_stories{stage="BACKLOG"}'] == 1
        assert LAG.format("PLANNING_EVENTS") in page
        assert LAG.format("FULL") not in page
        # A new stream makes the reader look at all streams again; the refused one is still not subscribed to.
        await fleet.stream("OTHER", "other.>")
        await reader.shows(LAG.format("OTHER"), 0)
        await fleet.says("agent.work.completed", task_id="T")
        await fleet.says("planning.story.created", story_id="US-2")
        await reader.shows(CREATED, 1)
        await fleet.js.delete_consumer("FULL", "worker")
        await reader.shows(MODE.format("consumer"), 1)
        await reader.shows(COMPLETED, 1)
    warnings = [record.__dict__["stream"] for record in caplog.records if record.message == "stream cannot be read"]
    assert warnings == ["FULL"]


async def test_a_server_that_limits_the_batch_of_a_request_is_read() -> None:
    limited = "jetstream { limits { max_request_batch: 100 } }"
    with nats_servers.start(config=limited) as strict:
        async with fleet_on(strict.url) as fleet:
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            for number in range(250):
                await fleet.client.publish("planning.story.created", f'{{"story_id": "US-{number}"}}'.encode())
            await fleet.client.flush()
            async with reading(strict.url) as reader:
                assert (await reader.page())['fleet_stories{stage="BACKLOG"}'] == 250
                for number in range(250):
                    await fleet.client.publish("planning.story.created", f'{{"story_id": "US-{number}"}}'.encode())
                page = await reader.shows(CREATED, 250)
                assert page['fleet_exporter_stream_restarts_total{stream="PLANNING_EVENTS",reason="consumer"}'] == 0
