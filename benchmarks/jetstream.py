"""10 000 consumers in 10 streams, next to the bare list requests."""

from __future__ import annotations

import asyncio
import json

import nats
from nats.aio.client import Client

from benchmarks.figure import Figure, awaited_median
from exporter.config.options import Address
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.scrape import Scraper
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers import nats as servers

STREAMS, CONSUMERS = 10, 1000


async def _bare(client: Client) -> None:
    """Seconds of the requests, in sequence, with decoded replies."""
    streams = json.loads((await client.request("$JS.API.STREAM.LIST", b'{"offset":0}')).data)["streams"]
    for stream in streams:
        offset, total = 0, 1
        while offset < total:
            body = json.dumps({"offset": offset}).encode()
            reply = json.loads((await client.request(f"$JS.API.CONSUMER.LIST.{stream['config']['name']}", body)).data)
            total, offset = reply["total"], offset + len(reply["consumers"])


async def _measure(url: str) -> tuple[float, float, int]:
    client = await nats.connect(url)
    js = client.jetstream()
    for stream in range(STREAMS):
        await js.add_stream(name=f"S{stream}", subjects=[f"s{stream}.>"])
        requests = [
            client.request(
                f"$JS.API.CONSUMER.DURABLE.CREATE.S{stream}.orch-consumer-{number}",
                json.dumps(
                    {
                        "stream_name": f"S{stream}",
                        "config": {"durable_name": f"orch-consumer-{number}", "ack_policy": "explicit"},
                    }
                ).encode(),
                timeout=30,
            )
            for number in range(CONSUMERS)
        ]
        await asyncio.gather(*requests)
    scraper = Scraper([Jetstream(JetstreamOptions(url=(Address(url),), timeout=30))])
    size = 0

    async def page() -> None:
        nonlocal size
        text = rendered(grouped(await scraper.read(30)), ExpositionFormat.TEXT)
        size = text.count(b"\nnats_consumer_lag{")

    await page()
    ours, bare = [], []
    for _ in range(5):  # alternating, so that both run under the same load
        bare.append(await awaited_median(lambda: _bare(client), rounds=1))
        ours.append(await awaited_median(page, rounds=1))
    await scraper.close()
    await client.close()
    return sorted(ours)[2], sorted(bare)[2], size


def figures() -> list[Figure]:
    with servers.start() as server:
        ours, bare, size = asyncio.run(_measure(server.url))
    return [
        Figure(
            f"page of {size:,} consumers in {STREAMS} streams",
            f"{ours * 1000:.0f} ms, {ours / bare:.2f} of the bare requests",
            "≤ 1.5 of the bare requests",
            ours <= bare * 1.5 and size == STREAMS * CONSUMERS,
            f"the list requests with json: {bare * 1000:.0f} ms",
        )
    ]
