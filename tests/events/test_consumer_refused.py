"""The reader of events with an account that may not read everything."""

from __future__ import annotations

import traceback

from exporter.errors import Reason
from servers import nats as nats_servers
from tests.support.fleet_streams import CREATED, fails, fleet_on, reading
from tests.support.pages import eventually, raised_by

ACCOUNTS = """
accounts {{ fleet {{ jetstream: enabled, users: [
  {{ user: writer, password: w }}
  {{ user: reader, password: r, permissions: {{ publish: {{ deny: ["$JS.API.CONSUMER.CREATE.{denied}"] }},
                                              subscribe: {{ deny: ["$JS.EVENT.>"] }} }} }}
] }} }}
"""


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
