"""The exporter's NATS user, as documented: it reads everything and changes nothing, and every permission is required."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from nats.js.api import ConsumerConfig

from exporter.errors import Reason, SourceError
from exporter.events.history import StoragePosition
from exporter.events.model import Message
from servers import nats as nats_servers
from servers.nats import Nats
from servers.process import free_port, wait_for
from tests.privileges.documented import block
from tests.privileges.nats_account import (
    INBOX,
    allowed,
    client_of,
    configuration,
    of,
    options,
    refused,
    source,
    subjects_in,
    without,
)
from tests.support.fleet_streams import Fleet, events, fleet_on, reading
from tests.support.pages import collected, eventually
from tests.support.process import exporter

WORKER = 'stream="PLANNING_EVENTS",consumer="planning-worker"'


METADATA, EVENTS = block("nats-jetstream"), block("nats-events")
LACKING = {f"lacking-{number}": subject for number, subject in enumerate(allowed(EVENTS))}


@pytest.fixture(scope="module")
def server() -> Iterator[Nats]:
    users = {"metadata": METADATA, "events": EVENTS}
    users |= dict.fromkeys(("blind", "looking"), without(METADATA, "$JS.API.STREAM.MSG.GET.*"))
    users |= {name: without(EVENTS, subject) for name, subject in LACKING.items()}
    with nats_servers.start(config=configuration(users)) as running:
        asyncio.run(_fleet(running))
        yield running


async def _fleet(server: Nats) -> None:
    """A stream that keeps its messages with a lagging durable consumer, and a work queue."""
    async with fleet_on(of(server, "fleet")) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.stream("AGENT_WORK", "agent.work.>", retention="workqueue")
        await fleet.js.add_consumer("PLANNING_EVENTS", ConsumerConfig(durable_name="planning-worker", sample_freq="100"))
        for number in range(3):
            await fleet.says("planning.story.created", story_id=f"US-{number}")


@pytest.mark.parametrize("user", ["metadata", "events"])
async def test_lag_is_read_and_nothing_refused(server: Nats, user: str) -> None:
    page = await collected(source(server, user))

    assert page[f"nats_consumer_lag{{{WORKER}}}"] >= 3
    assert f"nats_consumer_oldest_unacked_timestamp_seconds{{{WORKER}}}" in page
    assert page['nats_stream_messages{stream="AGENT_WORK"}'] >= 0
    assert refused(server, user) == []


async def test_an_account_that_sees_no_message_still_knows_the_lag(server: Nats) -> None:
    page = await collected(source(server, "blind", max_oldest_lookups=0))

    assert page[f"nats_consumer_lag{{{WORKER}}}"] >= 3
    assert page['nats_stream_oldest_lookup_failures{stream="PLANNING_EVENTS"}'] == 0
    assert refused(server, "blind") == []


async def test_refused_lookups_omit_only_their_metric(server: Nats) -> None:
    page = await collected(source(server, "looking"))

    assert page[f"nats_consumer_lag{{{WORKER}}}"] >= 3
    assert page['nats_stream_oldest_lookup_failures{stream="PLANNING_EVENTS"}'] == 1
    assert f"nats_consumer_oldest_unacked_timestamp_seconds{{{WORKER}}}" not in page


def any_message(_: Message) -> bool:
    return True


async def _follow(server: Nats, user: str, fleet: Fleet) -> None:
    """Read events as that user until both kinds of stream have delivered some."""
    async with reading(server.url, **options(user)) as reader:
        page = await reader.page()
        assert page['fleet_exporter_stream_mode{stream="PLANNING_EVENTS",mode="consumer"}'] == 1
        assert page['fleet_exporter_stream_mode{stream="AGENT_WORK",mode="subscription"}'] == 1
        await fleet.says("planning.story.created", story_id="US-9")
        await reader.shows(events("planning.story.created"), 1)
        await fleet.says("agent.work.completed", task_id="T")
        await reader.shows(events("agent.work.completed", producer="workspace", outcome="completed"), 1)
        worker = await fleet.js.pull_subscribe_bind("planning-worker", "PLANNING_EVENTS")
        [message] = await worker.fetch(1)
        await message.ack_sync()
        await reader.shows(f"nats_consumer_ack_duration_seconds_count{{{WORKER}}}", 1)
        async with reader.source.history() as history:
            later = time.time() + 60
            newer = [
                one async for step in history.newer(StoragePosition.before(0), later, any_message) for one in step.messages
            ]
            older = [
                one async for step in history.older(StoragePosition.after(later), 0, any_message) for one in step.messages
            ]
        assert len(newer) > 3
        assert older == newer[::-1]


async def test_events_are_followed_and_nothing_refused(server: Nats) -> None:
    async with fleet_on(of(server, "fleet")) as fleet:
        await _follow(server, "events", fleet)
        left = await fleet.js.consumers_info("PLANNING_EVENTS")
        assert {one.config.durable_name for one in left} == {"planning-worker", None}
        assert {one.config.inactive_threshold for one in left if one.config.durable_name is None} == {60}

    assert refused(server, "events") == []


async def test_the_exporter_reads_everything_required(server: Nats) -> None:
    variables = {"NATS_URL": server.url, "NATS_USER": "events", "NATS_PASSWORD": "p"}
    flags = (f"--jetstream.inbox-prefix={INBOX}", "--jetstream.delete-consumers=false")
    with exporter(*flags, variables=variables) as running:

        async def is_up() -> bool:
            async with httpx.AsyncClient(timeout=30) as client:
                page = (await client.get(f"{running.url}/metrics")).text
            up = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up{")]
            return len(up) == 2 and all(line.endswith(" 1") for line in up) and f"nats_consumer_lag{{{WORKER}}}" in page

        await eventually(is_up)
        async with httpx.AsyncClient(timeout=30) as client:
            past = await client.get(f"{running.url}/api/events?since=1h")
        assert past.status_code == 200
        assert "planning.story.created" in past.text
        running.stop()
        assert running.process.stderr is not None
        log = "".join([*running.log, *running.process.stderr])

    assert not re.search("violation|denied|refused|level=(warn|error)", log), log
    assert refused(server, "events") == []


@pytest.mark.parametrize(("user", "subject"), LACKING.items(), ids=LACKING.values())
async def test_every_subject_is_required(server: Nats, user: str, subject: str) -> None:
    """Without it, the server refuses the exporter something that this subject covers."""
    pattern = re.compile(re.escape(subject).replace(r"\*", r"[^.]+").replace(">", ".+"))

    async def is_refused() -> bool:
        return any(pattern.fullmatch(one) or one == subject for one in refused(server, user))

    with suppress(SourceError):
        await collected(source(server, user, timeout=1))
    async with reading(server.url, **options(user) | {"timeout": 1}):
        await eventually(is_refused)


FORBIDDEN = (
    "planning.story.created",
    "agent.work.completed",
    "$JS.ACK.PLANNING_EVENTS.planning-worker.1.1.1.1.0",
    "$KV.leases.leader",
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.STREAM.UPDATE.PLANNING_EVENTS",
    "$JS.API.STREAM.DELETE.PLANNING_EVENTS",
    "$JS.API.STREAM.PURGE.PLANNING_EVENTS",
    "$JS.API.STREAM.MSG.DELETE.PLANNING_EVENTS",
    "$JS.API.STREAM.SNAPSHOT.PLANNING_EVENTS",
    "$JS.API.STREAM.RESTORE.PLANNING_EVENTS",
    "$JS.API.STREAM.PEER.REMOVE.PLANNING_EVENTS",
    "$JS.API.STREAM.LEADER.STEPDOWN.PLANNING_EVENTS",
    "$JS.API.DIRECT.GET.PLANNING_EVENTS",
    "$JS.API.CONSUMER.CREATE.PLANNING_EVENTS",
    "$JS.API.CONSUMER.CREATE.PLANNING_EVENTS.planning-worker",
    "$JS.API.CONSUMER.CREATE.AGENT_WORK.thief",
    "$JS.API.CONSUMER.DURABLE.CREATE.PLANNING_EVENTS.mine",
    "$JS.API.CONSUMER.MSG.NEXT.PLANNING_EVENTS.planning-worker",
    "$JS.API.CONSUMER.MSG.NEXT.AGENT_WORK.thief",
    "$JS.API.CONSUMER.DELETE.PLANNING_EVENTS.planning-worker",
    "$JS.API.CONSUMER.PAUSE.PLANNING_EVENTS.planning-worker",
    "$JS.API.CONSUMER.LEADER.STEPDOWN.PLANNING_EVENTS.planning-worker",
)


FORBIDDEN_SUBSCRIPTIONS = (">", "_INBOX.>", "planning.>", "$JS.API.>", "$JS.EVENT.>", "$JS.ACK.>", "$SYS.>")


@pytest.mark.parametrize("user", ["metadata", "events"])
async def test_everything_else_is_refused(user: str) -> None:
    events_only = ("$JS.API.CONSUMER.CREATE.PLANNING_EVENTS.mine", "$JS.API.CONSUMER.MSG.NEXT.PLANNING_EVENTS.mine")
    to_say = (*FORBIDDEN, *(events_only if user == "metadata" else ()))

    with nats_servers.start(config=configuration({user: METADATA if user == "metadata" else EVENTS})) as server:
        await _fleet(server)
        async with fleet_on(of(server, "fleet")) as fleet, client_of(server, user) as (client, violations):

            async def state() -> object:
                worker = await fleet.js.consumer_info("PLANNING_EVENTS", "planning-worker")
                streams = [(one.config, one.state) for one in await fleet.js.streams_info()]
                return streams, worker.config, worker.delivered, worker.ack_floor

            before = await state()
            for subject in to_say:
                await client.publish(subject, b"{}")
            for subject in FORBIDDEN_SUBSCRIPTIONS:
                await client.subscribe(subject)
            await client.flush()
            expected = {subject.lower() for subject in (*to_say, *FORBIDDEN_SUBSCRIPTIONS)}

            async def all_are_refused() -> bool:
                return expected <= {found for one in violations for found in subjects_in(one)}

            await eventually(all_are_refused)
            assert await state() == before


@pytest.mark.parametrize("body", [{"name": "planning-worker"}, {"durable_name": "planning-worker"}])
async def test_a_durable_consumer_of_the_fleet_cannot_be_read_under_another_name(server: Nats, body: dict[str, str]) -> None:
    """The name in the subject, which is what NATS has permissions on, holds against the one in the request."""
    async with client_of(server, "events") as (client, _), fleet_on(of(server, "fleet")) as fleet:
        before = (await fleet.js.consumer_info("PLANNING_EVENTS", "planning-worker")).config
        request = {
            "stream_name": "PLANNING_EVENTS",
            "config": {**body, "ack_policy": "none", "inactive_threshold": 10**9},
        }
        await client.request("$JS.API.CONSUMER.CREATE.PLANNING_EVENTS.another", json.dumps(request).encode())
        assert (await fleet.js.consumer_info("PLANNING_EVENTS", "planning-worker")).config == before
        for one in await fleet.js.consumers_info("PLANNING_EVENTS"):
            if one.name == "another":
                await fleet.js.delete_consumer("PLANNING_EVENTS", one.name)


async def test_the_documented_remaining_permissions_exist(server: Nats) -> None:
    """The page documents these permissions; if NATS ever refuses them, update the page."""
    async with client_of(server, "events") as (client, _), fleet_on(of(server, "fleet")) as fleet:
        body = {"stream_name": "PLANNING_EVENTS", "config": {"durable_name": "kept", "ack_policy": "none"}}
        await client.request("$JS.API.CONSUMER.CREATE.PLANNING_EVENTS.kept", json.dumps(body).encode())
        assert (await fleet.js.consumer_info("PLANNING_EVENTS", "kept")).config.durable_name == "kept"
        subscription = await fleet.client.subscribe("fleet.receives.this")
        body = {
            "stream_name": "PLANNING_EVENTS",
            "config": {"name": "violations", "ack_policy": "none", "deliver_subject": "fleet.receives.this"},
        }
        await client.request("$JS.API.CONSUMER.CREATE.PLANNING_EVENTS.violations", json.dumps(body).encode())
        assert json.loads((await subscription.next_msg(timeout=10)).data)["story_id"] == "US-0"
        for name in ("kept", "violations"):
            await fleet.js.delete_consumer("PLANNING_EVENTS", name)


async def _reads_through(hub: Nats, asked: Nats) -> None:
    """Read the hub's events and lag under its domain, with the user `events` of the leaf server."""
    await _fleet(hub)
    async with fleet_on(of(hub, "fleet")) as fleet:
        given = options("events") | {"api_prefix": "$JS.hub.API"}
        async with reading(asked.url, **given) as reader:
            page = await reader.shows('fleet_exporter_stream_mode{stream="PLANNING_EVENTS",mode="consumer"}', 1)
            before = page.get(events("planning.story.created"), 0)
            await fleet.says("planning.story.created", story_id="US-9")
            await reader.shows(events("planning.story.created"), before + 1)
    page = await collected(source(asked, "events", api_prefix="$JS.hub.API"))
    assert page[f"nats_consumer_lag{{{WORKER}}}"] == 4
    assert refused(asked, "events") == []


async def test_the_domain_of_the_server_needs_the_same_subjects() -> None:
    with nats_servers.start(config=configuration({"events": EVENTS}, "jetstream: { domain: hub }")) as hub:
        await _reads_through(hub, hub)


async def test_the_domain_of_another_server_is_in_the_subjects() -> None:
    port = free_port()
    leafs = f"leafnodes {{ listen: 127.0.0.1:{port} }}"
    remote = f'leafnodes {{ remotes: [ {{ url: "nats-leaf://fleet:p@127.0.0.1:{port}", account: A }} ] }}'
    behind = EVENTS.replace("$JS.API.", "$JS.hub.API.")
    with (
        nats_servers.start(config=configuration({}, "jetstream: { domain: hub }", leafs)) as hub,
        nats_servers.start(config=configuration({"events": behind}, "jetstream: { domain: leaf }", remote)) as leaf,
    ):
        wait_for(lambda: "JetStream using domains" in leaf.process.log.read_text(), what="the leaf node to join its hub")
        await _reads_through(hub, leaf)
        with pytest.raises(SourceError) as denied:
            await collected(source(leaf, "events"))

    assert denied.value.reason is Reason.UNAUTHORIZED
