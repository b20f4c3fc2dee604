"""Consuming events of a real nats-server: none missed or counted twice, no consumers left, no effect on others."""

from __future__ import annotations

import json
from contextlib import suppress

import nats.errors
import nats.js.errors
import pytest
from nats.js.api import ConsumerConfig

from servers import nats as nats_servers
from servers.nats import Nats
from tests.support.fleet_streams import CREATED, Fleet, Reader, events, fleet_on, has_consumers, reading
from tests.support.pages import eventually

UNREADABLE = 'fleet_exporter_nats_advisories_total{type="unreadable"}'
ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER"


async def test_replayed_events_set_the_state_and_only_live_events_are_counted(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.stream("AGENT_RESPONSES", "agent.response.>")
        await fleet.says("planning.story.created", story_id="US-1")
        await fleet.says("agent.response.completed", task_id="T", agent_id="agent-dev-1", num_agents=3)
        async with reading(server.url) as reader:
            page = await reader.page()
            assert page[CREATED] == 0
            assert page['fleet_stories{stage="BACKLOG"}'] == 1
            assert page['fleet_agent_state{agent="agent-dev-1",role="DEV",state="completed"}'] == 1
            await fleet.says("planning.story.created", story_id="US-2")
            page = await reader.shows(CREATED, 1)
            assert page['fleet_stories{stage="BACKLOG"}'] == 2
            assert page['fleet_exporter_stream_position{stream="PLANNING_EVENTS"}'] == 2
            assert page['fleet_event_delay_seconds_count{family="planning"}'] == 1


async def test_events_older_than_the_lookback_are_ignored(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.says("planning.story.created", story_id="US-1")
        async with reading(server.url, lookback=0.001) as reader:
            assert 'fleet_stories{stage="BACKLOG"}' not in await reader.page()


async def test_two_streams_are_read_back_in_the_order_of_their_messages(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("A", "planning.story.created")
        await fleet.stream("B", "planning.story.transitioned")
        await fleet.says("planning.story.created", story_id="US-1")
        await fleet.says("planning.story.transitioned", story_id="US-1", to_state="DRAFT")
        await fleet.says("planning.story.created", story_id="US-2")
        await fleet.says("planning.story.transitioned", story_id="US-2", to_state="DRAFT")
        async with reading(server.url) as reader:
            await reader.page()
            subjects = [event.subject.rpartition(".")[2] for event in reader.source.live.recent.newest(9)]
            assert subjects == ["created", "transitioned"] * 2


async def test_a_work_queue_keeps_its_messages_for_its_workers(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("AGENT_WORK", "agent.work.>", retention="workqueue")
        async with reading(server.url) as reader:
            page = await reader.page()
            assert page['fleet_exporter_stream_mode{stream="AGENT_WORK",mode="subscription"}'] == 1
            await fleet.says("agent.work.completed", task_id="T")
            await reader.shows(events("agent.work.completed", producer="workspace", outcome="completed"), 1)
            info = await fleet.js.stream_info("AGENT_WORK")
            assert (info.state.messages, info.state.consumer_count) == (1, 0)
            worker = await fleet.js.pull_subscribe("agent.work.>", durable="worker")
            assert len(await worker.fetch(1)) == 1


async def test_a_subject_without_a_stream_still_fails_at_once_for_its_publisher(fleet: Fleet, reader: Reader) -> None:
    # With a subscriber there, the publisher would wait for its whole timeout instead.
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await fleet.js.publish("vllm.streaming.deliberation-1", b"{}")


async def test_no_consumer_remains_after_shutdown(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.says("planning.story.created", story_id="US-1")
        async with reading(server.url) as reader:
            await reader.page()
            await eventually(lambda: has_consumers(fleet, 1))
            found = await fleet.js.consumers_info("PLANNING_EVENTS")
            assert [(one.name[:15], one.config.durable_name) for one in found] == [("fleet-exporter-", None)]
        assert await fleet.js.consumers_info("PLANNING_EVENTS") == []


async def test_messages_of_many_megabytes_pass(server: Nats) -> None:
    with nats_servers.start(config="max_payload: 8388608") as large:
        async with fleet_on(large.url) as fleet:
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            async with reading(large.url) as reader:
                await reader.page()
                for _ in range(6):
                    await fleet.js.publish("planning.large", b"x" * 8_000_000)
                await fleet.says("planning.story.created", story_id="US-1")
                page = await reader.shows(CREATED, 1)
                assert page['fleet_events_unparsed_total{reason="too_large"}'] == 6
                restarts = [value for name, value in page.items() if name.startswith("fleet_exporter_stream_restarts_total")]
                assert set(restarts) == {0}


async def test_one_consumer_reads_more_messages_than_one_request_returns(fleet: Fleet, reader: Reader) -> None:
    for _ in range(5000):
        await fleet.client.publish("planning.story.created", b'{"story_id":"US-1"}')
    await fleet.client.flush()
    page = await reader.shows(CREATED, 5000)
    restarts = [value for name, value in page.items() if name.startswith("fleet_exporter_stream_restarts_total")]
    assert set(restarts) == {0}


async def test_listing_streams_during_delivery_duplicates_no_messages(fleet: Fleet, reader: Reader) -> None:
    for number in range(60):
        for _ in range(50):
            await fleet.client.publish("planning.story.created", b'{"story_id":"US-1"}')
        await fleet.stream(f"OTHER_{number}", f"other.{number}")  # an advisory, and so another look
    page = await reader.shows(CREATED, 3000)
    assert page['fleet_exporter_stream_restarts_total{stream="PLANNING_EVENTS",reason="sequence"}'] == 0


async def test_advisories_and_ack_samples_of_consumers_are_counted(server: Nats) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        config = ConsumerConfig(ack_wait=0.2, max_deliver=2, sample_freq="100")
        async with reading(server.url) as reader:
            await reader.page()
            worker = await fleet.js.pull_subscribe("planning.>", durable="orch", config=config)
            for number in range(4):
                await fleet.says("planning.story.created", story_id=f"US-{number}")
            first, second, third, _ = await worker.fetch(4)
            await first.ack()
            await second.nak()
            await third.term()
            await worker.fetch(1)
            who = 'stream="PLANNING_EVENTS",consumer="orch"'
            page = await reader.shows(f"nats_consumer_naks_total{{{who}}}", 1)
            page = await reader.shows(f"nats_consumer_terminations_total{{{who}}}", 1)
            assert page[f"nats_consumer_ack_duration_seconds_count{{{who}}}"] == 1
            with suppress(TimeoutError):  # nats-py raises either its own or the built-in one
                while True:
                    await worker.fetch(2, timeout=0.5)
            await reader.shows(f"nats_consumer_max_deliveries_total{{{who}}}", 2)


async def test_unreadable_advisories_and_consumers_over_the_limit_are_counted(fleet: Fleet, reader: Reader) -> None:
    await reader.shows(UNREADABLE, 0)
    await fleet.client.publish(f"{ADVISORY}.NAK.S.C", b"not json")
    for number in range(1001):
        nak = {"type": "io.nats.jetstream.advisory.v1.nak", "stream": "S", "consumer": f"C{number}"}
        await fleet.client.publish(f"{ADVISORY}.NAK.S.C{number}", json.dumps(nak).encode())
    await reader.shows('fleet_exporter_limit_hits_total{kind="consumer"}', 1)
    await reader.shows(UNREADABLE, 1)
