"""Healthy but unusual consumers of a real NATS server, with pages stretched over an hour: no critical alert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig

from exporter.config.options import Address
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers.nats import Nats
from tests.alerts.quiet import aged, at, firing, steps
from tests.support.pages import Page, samples_of, series

Step = Callable[[JetStreamContext, int], Awaitable[None]]
PAUSED_UNTIL = "2100-01-01T00:00:00Z"


def pages(server: Nats, minutes: float, config: ConsumerConfig, step: Step) -> list[Page]:
    """The exporter's pages of a stream S with a consumer c, after each step."""

    async def main() -> list[Page]:
        client = await nats.connect(server.url)
        js = client.jetstream()
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
        await js.add_consumer("S", config)
        source = Jetstream(JetstreamOptions(url=(Address(server.url),), expected=("S", "S/c")))
        found = []
        try:
            for number in range(steps(minutes)):
                await step(js, number)
                collected = time.time()
                found.append(aged(series(await samples_of(source)), collected, at(number)))
        finally:
            await source.close()
            await client.close()
        return found

    return asyncio.run(main())


async def publish(js: JetStreamContext, count: int) -> None:
    for _ in range(count):
        await js.publish("s.x", b"{}")


async def ack(js: JetStreamContext, count: int) -> None:
    """Fetch and ack up to this many messages."""
    subscription = await js.pull_subscribe_bind("c", stream="S")
    for message in await subscription.fetch(count, timeout=1):
        await message.ack_sync()
    await subscription.unsubscribe()


def test_a_paused_consumer(server: Nats, promtool: Path, tmp_path: Path) -> None:
    async def step(js: JetStreamContext, number: int) -> None:
        if number < 30:
            await publish(js, 20)

    found = pages(server, 40, ConsumerConfig(durable_name="c", pause_until=PAUSED_UNTIL), step)

    assert found[-1]['nats_consumer_lag{stream="S",consumer="c"}'] == 600
    assert firing(promtool, tmp_path, {"a": found}) == set()


def test_a_consumer_that_gave_up_one_message(server: Nats, promtool: Path, tmp_path: Path) -> None:
    """The dead message holds the ack floor for as long as others are in flight."""
    in_flight: list[Msg] = []

    async def step(js: JetStreamContext, number: int) -> None:
        await publish(js, 5)
        subscription = await js.pull_subscribe_bind("c", stream="S")
        fetched = await subscription.fetch(5, timeout=1)
        if number == 0:
            await fetched.pop(0).nak()
        for message in in_flight:
            await message.ack_sync()
        in_flight[:] = fetched
        await subscription.unsubscribe()

    config = ConsumerConfig(durable_name="c", max_deliver=1, ack_wait=300)  # short enough that only acks show its progress
    found = pages(server, 40, config, step)

    assert found[-1]['nats_consumer_ack_floor_stream_sequence{stream="S",consumer="c"}'] == 0
    assert firing(promtool, tmp_path, {"a": found}) == set()


def test_a_nightly_batch_and_the_replay_of_a_backlog(server: Nats, promtool: Path, tmp_path: Path) -> None:
    async def step(js: JetStreamContext, number: int) -> None:
        if number == 20:
            await publish(js, 900)
        if number >= 20 and number < 80:
            await ack(js, 15)

    found = pages(server, 60, ConsumerConfig(durable_name="c"), step)

    assert max(page['nats_consumer_lag{stream="S",consumer="c"}'] for page in found) > 800
    assert found[-1]['nats_consumer_lag{stream="S",consumer="c"}'] == 0
    assert firing(promtool, tmp_path, {"a": found}) == set()


def test_a_new_consumer_that_works_on_few_messages(server: Nats, promtool: Path, tmp_path: Path) -> None:
    """A rollout: no message is consumed for eight minutes, then all of them."""

    async def step(js: JetStreamContext, number: int) -> None:
        await publish(js, 2)
        if number >= 16:
            await ack(js, 10)

    found = pages(server, 30, ConsumerConfig(durable_name="c"), step)

    assert firing(promtool, tmp_path, {"a": found}) == set()


def test_a_consumer_without_a_client_is_still_reported(server: Nats, promtool: Path, tmp_path: Path) -> None:
    async def step(js: JetStreamContext, number: int) -> None:
        await publish(js, 1)

    found = pages(server, 30, ConsumerConfig(durable_name="c"), step)

    assert firing(promtool, tmp_path, {"a": found}) == {"NatsConsumerStalled"}
