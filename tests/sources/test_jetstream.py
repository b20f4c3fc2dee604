"""JetStream on a real nats-server: lag in all its parts, expected names, credentials, and operations that are never used."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig
from pydantic import SecretStr

from exporter.clients.jetstream import Account, Consumer, SequenceInfo, StreamList, decoded
from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.metrics.timestamps import seconds
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from exporter.sources.jetstream.ack_estimate import ACK_ESTIMATE, AckEstimates
from exporter.sources.jetstream.consumers import parsed_config, service_of
from exporter.sources.jetstream.snapshot import ConsumerRow
from servers import nats as nats_servers
from servers.nats import Nats
from tests.support.pages import collected, samples_of, series


def source(url: str, **more: object) -> Jetstream:
    return Jetstream(JetstreamOptions.model_validate({"url": (Address(url),), **more}))


async def with_jetstream(url: str, work: Any) -> Any:
    client = await nats.connect(url)
    try:
        return await work(client.jetstream())
    finally:
        await client.close()


async def _planning(js: JetStreamContext) -> None:
    await js.add_stream(StreamConfig(name="PLANNING_EVENTS", subjects=["planning.>"], max_msgs=1000, max_age=3600))
    subscription = await js.pull_subscribe("planning.story.>", durable="orch-planning-story")
    for number in range(5):
        await js.publish("planning.story.created", f"{number}".encode())
    await js.publish("planning.other", b"{}")
    first, *_ = await subscription.fetch(3)
    await first.ack_sync()
    await js.add_consumer("PLANNING_EVENTS", ConsumerConfig(name="passing", inactive_threshold=60))


@pytest.fixture(scope="module")
def planning(nats_server: Nats) -> Nats:
    asyncio.run(with_jetstream(nats_server.url, _planning))
    return nats_server


WHO = 'stream="PLANNING_EVENTS",consumer="orch-planning-story"'


async def test_lag_is_what_is_undelivered_and_what_is_unacknowledged(planning: Nats) -> None:
    page = await collected(source(planning.url))

    assert page[f"nats_consumer_lag{{{WHO}}}"] == 4
    assert page[f"nats_consumer_num_pending{{{WHO}}}"] == 2
    assert page[f"nats_consumer_num_ack_pending{{{WHO}}}"] == 2
    assert page[f"nats_consumer_num_redelivered{{{WHO}}}"] == 0
    assert page[f"nats_consumer_delivered_total{{{WHO}}}"] == 3
    assert page[f"nats_consumer_settled_deliveries_total{{{WHO}}}"] == 1
    assert page[f"nats_consumer_ack_wait_seconds{{{WHO}}}"] == 30
    assert page[f"nats_consumer_sampling{{{WHO}}}"] == 0
    assert (
        f'nats_consumer_info{{{WHO},service="orchestrator",kind="pull",filter="planning.story.>",deliver_group="",'
        'ack_policy="explicit",deliver_policy="all",priority_policy="",priority_groups=""}' in page
    )


async def test_the_oldest_unacked_message_is_the_one_above_the_floor(planning: Nats) -> None:
    async def second(js: JetStreamContext) -> str:
        message = await js.get_msg("PLANNING_EVENTS", 2)
        return str(message.time.timestamp()) if message.time else ""

    page = await collected(source(planning.url))

    oldest = page[f"nats_consumer_oldest_unacked_timestamp_seconds{{{WHO}}}"]
    assert oldest == pytest.approx(float(await with_jetstream(planning.url, second)), abs=0.001)


async def test_lookups_of_the_oldest_message_are_limited(planning: Nats) -> None:
    page = await collected(source(planning.url, max_oldest_lookups=0))

    assert not any(name.startswith("nats_consumer_oldest") for name in page)
    assert page[f"nats_consumer_lag{{{WHO}}}"] == 4


async def test_the_stream_itself(planning: Nats) -> None:
    page = await collected(source(planning.url))

    assert page['nats_stream_messages{stream="PLANNING_EVENTS"}'] == 6
    assert page['nats_stream_subjects{stream="PLANNING_EVENTS"}'] == 2
    assert page['nats_stream_limit_messages{stream="PLANNING_EVENTS"}'] == 1000
    assert page['nats_stream_limit_age_seconds{stream="PLANNING_EVENTS"}'] == 3600
    assert 'nats_stream_limit_bytes{stream="PLANNING_EVENTS"}' not in page
    assert page["nats_account_streams"] == 1


async def test_ephemeral_consumers_are_summed_by_default(planning: Nats) -> None:
    summed, shown = await collected(source(planning.url)), await collected(source(planning.url, ephemeral_consumers=True))
    ephemeral = 'nats_consumer_lag{stream="PLANNING_EVENTS",consumer="passing"}'

    assert summed['nats_stream_ephemeral_consumers{stream="PLANNING_EVENTS"}'] == 1
    assert summed['nats_stream_ephemeral_lag{stream="PLANNING_EVENTS"}'] == 6
    assert ephemeral not in summed
    assert shown[ephemeral] == 6


async def test_expected_names_are_present_or_missing(planning: Nats) -> None:
    expected = ["PLANNING_EVENTS", "AGENT_RESULTS", "PLANNING_EVENTS/orch-planning-story", "PLANNING_EVENTS/nobody"]
    page = await collected(source(planning.url, expected=expected))

    assert page['nats_expected_stream_present{stream="PLANNING_EVENTS"}'] == 1
    assert page['nats_expected_stream_present{stream="AGENT_RESULTS"}'] == 0
    assert page[f"nats_expected_consumer_present{{{WHO}}}"] == 1
    assert page['nats_expected_consumer_present{stream="PLANNING_EVENTS",consumer="nobody"}'] == 0


async def test_nothing_is_created_and_nothing_acknowledged(planning: Nats) -> None:
    async def state(js: JetStreamContext) -> list[tuple[str, int | None, int | None]]:
        infos = await js.consumers_info("PLANNING_EVENTS")
        return sorted((each.name, each.num_ack_pending, each.num_pending) for each in infos)

    before = await with_jetstream(planning.url, state)
    await collected(source(planning.url))

    assert await with_jetstream(planning.url, state) == before


async def test_a_deleted_consumer_is_removed_and_a_restarted_server_reconnected() -> None:
    async def follow(url: str, server: Nats) -> list[bool]:
        reader, seen = source(url), []

        async def has_it() -> bool:
            return 'nats_consumer_lag{stream="S",consumer="c"}' in series(await samples_of(reader))

        async def make(js: JetStreamContext) -> None:
            await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
            await js.add_consumer("S", ConsumerConfig(durable_name="c"))

        async def unmake(js: JetStreamContext) -> None:
            await js.delete_consumer("S", "c")

        await with_jetstream(url, make)
        seen.append(await has_it())
        await with_jetstream(url, unmake)
        seen.append(await has_it())
        await with_jetstream(url, make)
        await asyncio.to_thread(server.process.restart)
        with suppress(SourceError):  # the first reading may meet the lost connection; the next one must not
            await reader.collect()
        await reader.close()
        seen.append(await has_it())
        await reader.close()
        return seen

    with nats_servers.start() as server:
        assert await follow(server.url, server) == [True, False, True]


async def test_more_consumers_than_a_page_of_the_list(planning: Nats) -> None:
    async def many(js: JetStreamContext) -> None:
        await js.add_stream(StreamConfig(name="MANY", subjects=["many.>"]))
        for number in range(300):
            await js.add_consumer("MANY", ConsumerConfig(durable_name=f"c{number}"))

    async def clean(js: JetStreamContext) -> None:
        await js.delete_stream("MANY")

    await with_jetstream(planning.url, many)
    page = await collected(source(planning.url))
    await with_jetstream(planning.url, clean)

    assert sum(name.startswith('nats_consumer_lag{stream="MANY"') for name in page) == 300


AUTHORIZATION = """authorization {
  users = [
    {user: whole, password: right}
    {user: poor, password: right, permissions: {publish: ["$JS.API.INFO"], subscribe: ["_INBOX.>"]}}
    {user: reader, password: right, permissions: {
      publish: ["$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.CONSUMER.LIST.*", "$JS.API.STREAM.MSG.GET.*"]
      subscribe: ["_INBOX.>"]}}
  ]
}"""


async def test_credentials_and_permissions() -> None:
    with nats_servers.start(config=AUTHORIZATION) as server:
        await with_jetstream(server.url.replace("nats://", "nats://whole:right@"), _planning)

        def of(user: str, password: str) -> Jetstream:
            return source(server.url, user=user, password=SecretStr(password))

        reader = await collected(of("reader", "right"))
        for wrong in (of("whole", "wrong"), of("poor", "right"), source(server.url)):
            with pytest.raises(SourceError) as caught:
                await collected(wrong)
            assert caught.value.reason is Reason.UNAUTHORIZED, str(caught.value)

    assert reader[f"nats_consumer_lag{{{WHO}}}"] == 4
    assert any(name.startswith("nats_consumer_oldest") for name in reader)


@given(st.binary())
def test_any_reply_is_a_record_or_a_source_error(data: bytes) -> None:
    with suppress(SourceError):
        assert isinstance(decoded(data, StreamList, subject="x"), StreamList)


def test_an_error_reply_is_reported() -> None:
    reply = msgspec.json.encode({"error": {"code": 503, "err_code": 10039, "description": "JetStream not enabled"}})

    with pytest.raises(SourceError, match="JetStream not enabled"):
        decoded(reply, Account, subject="$JS.API.INFO")


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T00:00:00.123456789Z", 1767225600.123456),
        ("2026-01-01T02:00:00+02:00", 1767225600.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_timestamps(timestamp: str, expected: float | None) -> None:
    assert seconds(timestamp) == expected


def test_the_longest_prefix_names_the_service() -> None:
    prefixes = {"planning-": "planning", "planning-ceremony-": "ceremony"}

    assert service_of("planning-ceremony-x", prefixes) == "ceremony"
    assert service_of("planning-x", prefixes) == "planning"
    assert service_of("x", prefixes) == ""


def _consumer(delivered: tuple[int, str], floor: tuple[int, str]) -> Consumer:
    at = "2025-11-20T10:00:{}Z".format
    return Consumer(
        name="c",
        delivered=SequenceInfo(consumer_seq=delivered[0], last_active=at(delivered[1])),
        ack_floor=SequenceInfo(consumer_seq=floor[0], last_active=at(floor[1])),
    )


def test_ack_duration_is_estimated_from_the_ack_floor() -> None:
    estimates = AckEstimates()

    def seen(delivered: tuple[int, str], floor: tuple[int, str]) -> dict[str, float]:
        consumer = _consumer(delivered, floor)
        return series(
            [ACK_ESTIMATE.column(estimates.update([ConsumerRow("S", consumer, parsed_config("S", consumer, {}))]))]
        )

    name = 'nats_consumer_ack_duration_estimate_seconds{stream="S",consumer="c"}'
    assert seen((10, "00"), (10, "01")) == {}
    assert seen((20, "10"), (10, "01")) == {}
    assert seen((30, "20"), (15, "12")) == {name: 7}  # 15 lies half-way between what was delivered at 0 s and at 10 s
    assert seen((30, "20"), (30, "24")) == {name: 4}
    assert seen((3, "30"), (2, "30")) == {}  # recreated
