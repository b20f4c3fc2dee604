"""A JetStream cluster of three real servers that loses a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import nats
import pytest
from nats.errors import Error
from nats.js.api import ConsumerConfig, StreamConfig

from exporter.config.options import Address
from exporter.scrape import Scraper
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers import nats as nats_servers
from servers import nats_cluster
from servers.nats_cluster import NatsCluster
from tests.support.pages import Page, series
from tests.support.servers import required

UP = 'fleet_exporter_source_up{{source="jetstream",server="{}"}}'


@pytest.fixture
def cluster() -> Iterator[NatsCluster]:
    with required():
        nats_servers.prepare()
    with nats_cluster.start() as running:
        yield running


async def _fill(cluster: NatsCluster) -> str:
    """A stream on one node, and one on all with a consumer that is on the same single node; returns the node's name."""
    client = await nats.connect(list(cluster.urls))
    js = client.jetstream()
    while True:  # until the cluster has elected its leader
        try:
            single = await js.add_stream(StreamConfig(name="SINGLE", subjects=["single.>"], num_replicas=1))
            break
        except Error:
            await asyncio.sleep(0.1)
    await js.add_consumer("SINGLE", ConsumerConfig(durable_name="worker"))
    await js.add_stream(StreamConfig(name="TRIPLE", subjects=["triple.>"], num_replicas=3))
    await js.add_consumer("TRIPLE", ConsumerConfig(durable_name="replicated"))
    await js.publish("triple.x", b"{}")
    await client.close()
    assert single.cluster is not None
    assert single.cluster.leader is not None
    return single.cluster.leader


def _meta(page: Page) -> tuple[int, float]:
    """How many servers report the meta group, and how many of them lead it."""
    leads = [value for name, value in page.items() if name.startswith("nats_server_meta_leader{")]
    return len(leads), sum(leads)


async def _page(scraper: Scraper, fits: Callable[[Page], bool]) -> Page:
    """The first page within a scrape's usual budget that fits; an election takes several seconds."""
    async with asyncio.timeout(120):
        while not fits(page := series(await scraper.read(9.5))):
            pass
    return page


async def test_streams_of_a_dead_node_are_offline_and_everything_else_is_still_read(cluster: NatsCluster) -> None:
    dead = await _fill(cluster)
    urls = [cluster.node(dead).url, *(url for url in cluster.urls if url != cluster.node(dead).url)]
    options = JetstreamOptions(
        url=tuple(Address(url) for url in urls),
        monitoring_url=tuple(Address(f"http://127.0.0.1:{port}") for port in cluster.monitoring),
        expected=("SINGLE", "SINGLE/worker", "TRIPLE", "GONE"),
    )
    source = Jetstream(options)
    up = UP.format(source.server)
    scraper = Scraper([source])
    replica = f'nats_stream_replica_current{{stream="TRIPLE",replica="{dead}"}}'
    healthy = await _page(
        scraper, lambda page: page.get('nats_stream_messages{stream="TRIPLE"}') == 1 and _meta(page) == (3, 1)
    )
    cluster.node(dead).process.kill()
    broken = await _page(
        scraper,
        lambda page: (
            (page.get('nats_stream_offline{stream="SINGLE"}'), page.get(replica), page[up]) == (1, 0, 1)
            and _meta(page) == (2, 1)
        ),
    )
    cluster.node(dead).process.start()
    repaired = await _page(scraper, lambda page: page.get('nats_stream_offline{stream="SINGLE"}') == 0)
    await scraper.close()
    worker = 'stream="SINGLE",consumer="worker"'

    assert healthy['nats_stream_offline{stream="SINGLE"}'] == 0
    assert healthy[f'nats_stream_leader_info{{stream="SINGLE",leader="{dead}"}}'] == 1
    assert healthy[f'nats_consumer_leader_info{{{worker},leader="{dead}"}}'] == 1
    assert sum(name.startswith('nats_stream_replica_current{stream="TRIPLE"') for name in healthy) == 2

    gone = f"127.0.0.1:{cluster.monitoring[int(dead.removeprefix('n')) - 1]}"
    monitored = f'fleet_exporter_lookup_up{{source="jetstream",server="{gone}",lookup="monitoring"}}'
    assert (healthy[monitored], broken[monitored]) == (1, 0)
    assert healthy[f'nats_server_healthy{{server="{gone}"}}'] == 1
    assert healthy[f'nats_server_meta_pending{{server="{gone}"}}'] >= 0
    assert f'nats_server_healthy{{server="{gone}"}}' not in broken

    assert broken['nats_stream_offline{stream="TRIPLE"}'] == 0
    assert broken["nats_account_streams"] == 2
    assert 'nats_stream_messages{stream="SINGLE"}' not in broken
    assert broken['nats_stream_messages{stream="TRIPLE"}'] == 1
    assert broken['nats_expected_stream_present{stream="SINGLE"}'] == 1
    assert broken['nats_expected_stream_present{stream="GONE"}'] == 0
    assert broken[f"nats_consumer_offline{{{worker}}}"] == 1
    assert broken[f"nats_expected_consumer_present{{{worker}}}"] == 1
    assert broken['nats_consumer_lag{stream="TRIPLE",consumer="replicated"}'] == 1
    assert broken[f'nats_stream_replica_current{{stream="TRIPLE",replica="{dead}"}}'] == 0
    answering = [name for name in broken if name.startswith("nats_server_info")]
    assert [cluster.node(dead).url.removeprefix("nats://") in name for name in answering] == [False]

    assert repaired[f"nats_consumer_lag{{{worker}}}"] == 0
