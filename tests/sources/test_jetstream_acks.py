"""Healthy consumers with one suspicious metric, and the metrics that distinguish them from failing ones."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamConfig

from exporter.clients.jetstream import Consumer, SequenceInfo
from exporter.config.options import Address
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from exporter.sources.jetstream.consumers import parsed_config
from exporter.sources.jetstream.counters import ConsumerCounters, IncreaseCounter
from exporter.sources.jetstream.snapshot import ConsumerRow
from servers.nats import Nats
from tests.support.pages import Page, page_where, samples_of, series

WHO = 'stream="S",consumer="c"'
OLDEST = f"nats_consumer_oldest_unacked_timestamp_seconds{{{WHO}}}"
IN_FLIGHT = 10


def of(metric: str, page: Page) -> float:
    return page[f"{metric}{{{WHO}}}"]


async def on(server: Nats, story: Callable[[Client, JetStreamContext, Jetstream], Awaitable[None]]) -> None:
    client = await nats.connect(server.url)
    source = Jetstream(JetstreamOptions(url=(Address(server.url),)))
    try:
        await story(client, client.jetstream(), source)
    finally:
        await source.close()
        await client.close()


async def page_of(source: Jetstream) -> Page:
    return series(await samples_of(source))


async def _stored_at(js: JetStreamContext, sequence: int) -> float:
    message = await js.get_msg("S", sequence)
    assert message.time is not None
    return message.time.timestamp()


async def _acked_but_one(js: JetStreamContext, config: ConsumerConfig, count: int) -> list[Msg]:
    """Every message acked but the first, which is nakked, and the last ones, which are returned."""
    subscription = await js.pull_subscribe("s.>", durable="c", stream="S", config=config)
    waiting: list[Msg] = []
    for _ in range(count):
        [message] = await subscription.fetch(1, timeout=5)
        if message.metadata.sequence.stream == 1:
            await message.nak()
            continue
        waiting.append(message)
        if len(waiting) > IN_FLIGHT:
            await waiting.pop(0).ack_sync()
    return waiting


async def test_a_message_over_max_deliver_hides_no_acks(server: Nats) -> None:
    async def story(client: Client, js: JetStreamContext, source: Jetstream) -> None:
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        for number in range(40):
            await js.publish("s.x", b"%d" % number)
        waiting = await _acked_but_one(js, ConsumerConfig(max_deliver=1), 40)
        first = await page_where(source, lambda page: of("nats_consumer_num_ack_pending", page) == IN_FLIGHT)
        await waiting[0].ack_sync()
        second = await page_of(source)

        assert of("nats_consumer_delivered_total", first) == 40
        assert of("nats_consumer_settled_deliveries_total", first) == 30
        assert of("nats_consumer_ack_floor_stream_sequence", second) == 0
        assert of("nats_consumer_settled_deliveries_total", second) == 31
        assert of("nats_consumer_last_ack_timestamp_seconds", second) > of("nats_consumer_last_ack_timestamp_seconds", first)
        assert OLDEST not in second  # the floor points to the message over max_deliver

    await on(server, story)


async def test_a_loop_has_redeliveries_and_no_ack(server: Nats) -> None:
    async def story(client: Client, js: JetStreamContext, source: Jetstream) -> None:
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        await js.publish("s.x", b"poison")
        subscription = await js.pull_subscribe("s.>", durable="c", stream="S")
        for _ in range(5):
            [message] = await subscription.fetch(1, timeout=5)
            await message.nak()
        page = await page_of(source)

        assert of("nats_consumer_delivered_total", page) == 5
        assert of("nats_consumer_delivered_stream_sequence", page) == 1
        assert of("nats_consumer_num_redelivered", page) == 1
        assert f"nats_consumer_last_ack_timestamp_seconds{{{WHO}}}" not in page
        assert page[OLDEST] == pytest.approx(await _stored_at(js, 1), abs=0.001)

    await on(server, story)


async def test_a_paused_consumer_is_shown_as_paused(server: Nats) -> None:
    async def story(client: Client, js: JetStreamContext, source: Jetstream) -> None:
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        await js.add_consumer("S", ConsumerConfig(durable_name="c"))
        assert of("nats_consumer_paused", await page_of(source)) == 0
        until = json.dumps({"pause_until": "2099-01-01T00:00:00Z"}).encode()
        await client.request("$JS.API.CONSUMER.PAUSE.S.c", until)
        assert of("nats_consumer_paused", await page_of(source)) == 1
        await client.request("$JS.API.CONSUMER.PAUSE.S.c", b"{}")
        assert of("nats_consumer_paused", await page_of(source)) == 0

    await on(server, story)


async def test_the_oldest_message_is_found_again_when_it_was_deleted_or_expired(server: Nats) -> None:
    async def story(client: Client, js: JetStreamContext, source: Jetstream) -> None:
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        await js.add_consumer("S", ConsumerConfig(durable_name="c"))
        for number in range(4):
            await js.publish("s.x", b"%d" % number)
            await asyncio.sleep(0)  # distinct times
        assert (await page_of(source))[OLDEST] == pytest.approx(await _stored_at(js, 1), abs=1e-5)
        await js.delete_msg("S", 1)
        assert (await page_of(source))[OLDEST] == pytest.approx(await _stored_at(js, 2), abs=1e-5)
        await js.update_stream(StreamConfig(name="S", subjects=["s.>"], max_msgs=1))
        assert (await page_of(source))[OLDEST] == pytest.approx(await _stored_at(js, 4), abs=1e-5)

    await on(server, story)


async def test_messages_that_will_never_be_delivered_are_not_the_oldest(server: Nats) -> None:
    async def story(client: Client, js: JetStreamContext, source: Jetstream) -> None:
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        for number in range(6):
            await js.publish(f"s.{number % 2}", b"{}")
        await js.add_consumer(
            "S", ConsumerConfig(durable_name="c", deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subject="s.>")
        )
        page = await page_of(source)
        assert of("nats_consumer_lag", page) == 2
        assert OLDEST not in page
        subscription = await js.pull_subscribe_bind("c", "S")
        for message in await subscription.fetch(2, timeout=5):
            await message.ack_sync()
        await js.publish("s.0", b"{}")
        assert (await page_of(source))[OLDEST] == pytest.approx(await _stored_at(js, 7), abs=1e-5)

    await on(server, story)


async def test_deliveries_do_not_step_back_when_the_server_crashes(server: Nats) -> None:
    async def story(client: Client, js: JetStreamContext, source: Jetstream) -> None:
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        for number in range(200):
            await js.publish("s.x", b"%d" % number)
        subscription = await js.pull_subscribe("s.>", durable="c", stream="S")
        for message in await subscription.fetch(200, timeout=5):
            await message.ack()
        await client.flush()
        before = await page_where(source, lambda page: of("nats_consumer_num_ack_pending", page) == 0)
        server.process.kill()
        await asyncio.to_thread(server.process.start)
        await source.close()
        after = await page_of(source)

        for counter in ("nats_consumer_delivered_total", "nats_consumer_settled_deliveries_total"):
            assert of(counter, after) >= of(counter, before) == 200

    await on(server, story)


def _row(created: str, delivered: int, unacked: int) -> ConsumerRow:
    consumer = Consumer(name="c", created=created, delivered=SequenceInfo(consumer_seq=delivered), num_ack_pending=unacked)
    return ConsumerRow("S", consumer, parsed_config("S", consumer, {}))


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1))
def test_counters_of_one_consumer_never_fall(figures: list[tuple[int, int]]) -> None:
    counters = ConsumerCounters()
    seen = [counters.update([_row("then", *figure)])["S", "c"] for figure in figures]

    assert seen == [
        (max(one for one, _ in figures[: end + 1]), max(max(one - two, 0) for one, two in figures[: end + 1]))
        for end in range(len(figures))
    ]


def test_a_consumer_created_again_counts_from_its_own_figures() -> None:
    counters = ConsumerCounters()

    assert counters.update([_row("then", 900, 0)]) == {("S", "c"): (900, 900)}
    assert counters.update([_row("now", 3, 1)]) == {("S", "c"): (3, 2)}


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_an_increase_counter_adds_rises_alone(figures: list[int]) -> None:
    counter = IncreaseCounter()
    totals = [counter.update(figure) for figure in figures]

    assert totals[0] == 0
    assert totals[-1] == sum(max(after - before, 0) for before, after in itertools.pairwise(figures))
