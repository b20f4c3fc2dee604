"""Mirrors, sources, and limits per replica tier, on real servers."""

from __future__ import annotations

from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig, StreamSource

from exporter.config.options import Address
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers import nats as nats_servers
from servers.nats import Nats
from tests.clients.nats_jwt import operator_configuration
from tests.support.pages import collected, page_where


async def test_a_mirror_and_a_source_show_their_lag_and_last_contact(server: Nats) -> None:
    client = await nats.connect(server.url)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="ORIGIN", subjects=["origin.>"]))
    for number in range(5):
        await js.publish("origin.x", b"%d" % number)
    await js.add_stream(StreamConfig(name="MIRROR", mirror=StreamSource(name="ORIGIN")))
    await js.add_stream(StreamConfig(name="SOURCED", sources=[StreamSource(name="ORIGIN")]))
    source = Jetstream(JetstreamOptions(url=(Address(server.url),)))
    page = await page_where(
        source,
        lambda page: all(page.get(f'nats_stream_messages{{stream="{name}"}}') == 5 for name in ("MIRROR", "SOURCED")),
    )
    await source.close()
    await client.close()

    for stream, kind in (("MIRROR", "mirror"), ("SOURCED", "source")):
        who = f'stream="{stream}",source="ORIGIN",type="{kind}"'
        assert page[f"nats_stream_source_lag{{{who}}}"] == 0
        assert page[f"nats_stream_source_error{{{who}}}"] == 0
        last = page[f"nats_stream_source_last_active_timestamp_seconds{{{who}}}"]
        assert last == pytest.approx(page['nats_stream_last_timestamp_seconds{stream="ORIGIN"}'], abs=120)
    assert not any(name.startswith('nats_stream_source_lag{stream="ORIGIN"') for name in page)
    assert page["nats_account_consumers"] >= 0


async def test_limits_per_tier(tmp_path: Path) -> None:
    credentials = tmp_path / "exporter.creds"
    tiers = {"R1": {"mem_storage": 1000, "disk_storage": 100_000, "streams": 3, "consumer": 7}}
    with nats_servers.start(config=operator_configuration(credentials, tiers)) as server:
        client = await nats.connect(server.url, user_credentials=str(credentials))
        config = StreamConfig(name="RESERVED", subjects=["r.>"], max_bytes=40_000, num_replicas=1)
        await client.jetstream().add_stream(config)
        await client.close()
        page = await collected(Jetstream(JetstreamOptions(url=(Address(server.url),), credentials_file=credentials)))

    assert page['nats_account_tier_limit_storage_bytes{tier="R1"}'] == 100_000
    assert page['nats_account_tier_limit_memory_bytes{tier="R1"}'] == 1000
    assert page['nats_account_tier_limit_streams{tier="R1"}'] == 3
    assert page['nats_account_tier_limit_consumers{tier="R1"}'] == 7
    assert page['nats_account_tier_reserved_storage_bytes{tier="R1"}'] == 40_000
    assert page['nats_account_tier_streams{tier="R1"}'] == 1
