"""The event consumer while the only server of a stream is down: the stream is offline, and reading resumes afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import nats
import pytest
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamSource

from exporter.config.options import Address
from exporter.sources.fleet import FleetEvents, FleetOptions
from servers import nats as nats_servers
from servers import nats_cluster
from servers.nats_cluster import NatsCluster
from tests.support.fleet_streams import CREATED
from tests.support.pages import followed, page_where
from tests.support.servers import required

STREAM_MODE = 'fleet_exporter_stream_mode{stream="PLANNING_EVENTS",mode="%s"}'
POSITION = 'fleet_exporter_stream_position{stream="PLANNING_EVENTS"}'


@pytest.fixture
def cluster() -> Iterator[NatsCluster]:
    with required():
        nats_servers.prepare()
    with nats_cluster.start() as running:
        yield running


@asynccontextmanager
async def publisher(cluster: NatsCluster) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(list(cluster.urls))
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def _fill(cluster: NatsCluster, number: int) -> str:
    """A stream with that many messages on one node, and a copy of it on all of them; returns the node's name."""
    async with publisher(cluster) as js:
        while True:  # until the cluster has elected its leader
            try:
                info = await js.add_stream(StreamConfig(name="PLANNING_EVENTS", subjects=["planning.>"], num_replicas=1))
                break
            except Error:
                await asyncio.sleep(0.1)
        await js.add_stream(StreamConfig(name="COPY", sources=[StreamSource(name="PLANNING_EVENTS")], num_replicas=3))
        await _publish(js, number)
        assert info.cluster is not None
        assert info.cluster.leader is not None
        return info.cluster.leader


async def _publish(js: JetStreamContext, number: int) -> None:
    """That many events; tried until the stream's server is back."""
    for story in range(number):
        async with asyncio.timeout(60):
            while True:
                try:
                    await js.publish("planning.story.created", json.dumps({"story_id": f"US-{story}"}).encode(), timeout=1)
                    break
                except (Error, TimeoutError):
                    await asyncio.sleep(0.1)


def _source(cluster: NatsCluster, dead: str) -> FleetEvents:
    urls = [node.url for name, node in zip(("n1", "n2", "n3"), cluster.nodes, strict=True) if name != dead]
    return FleetEvents(FleetOptions(url=tuple(Address(url) for url in urls), timeout=9))


async def test_a_stream_that_goes_offline_and_comes_back_is_not_read_again(cluster: NatsCluster) -> None:
    dead = await _fill(cluster, 0)
    source = _source(cluster, dead)
    async with followed(source):
        await page_where(source, lambda page: POSITION in page)
        async with publisher(cluster) as js:
            await _publish(js, 5)
            await page_where(source, lambda page: page.get(CREATED) == 5)
            cluster.node(dead).process.kill()
            await page_where(source, lambda page: page.get(STREAM_MODE % "offline") == 1)
            cluster.node(dead).process.start()
            await _publish(js, 1)
            page = await page_where(source, lambda page: page.get(POSITION) == 6)
    assert page[CREATED] == 6
    assert page['fleet_exporter_stream_repeated_messages_total{stream="PLANNING_EVENTS"}'] == 0
    assert not any('stream="COPY"' in name for name in page)


async def test_the_past_of_a_stream_that_was_offline_at_the_start_is_not_counted(cluster: NatsCluster) -> None:
    dead = await _fill(cluster, 5)
    cluster.node(dead).process.kill()
    source = _source(cluster, dead)
    async with followed(source), publisher(cluster) as js:
        await page_where(source, lambda page: "fleet_exporter_nats_disconnects_total" in page)
        cluster.node(dead).process.start()
        await _publish(js, 1)
        page = await page_where(source, lambda page: page.get(POSITION) == 6)
    assert page[CREATED] == 1
    assert page['fleet_exporter_stream_skipped_messages_total{stream="PLANNING_EVENTS"}'] == 0
