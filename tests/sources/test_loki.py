"""The copy in a real Loki: every event once, whatever happens to the exporter, to Loki or to NATS."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.scrape import Scraper
from exporter.sources.loki import LokiForwarder, LokiOptions
from exporter.sources.loki.entries import last_position
from servers import loki as loki_servers
from servers import nats as nats_servers
from servers.loki import Loki
from servers.nats import Nats
from servers.process import free_port, wait_for
from tests.support.fleet_streams import Fleet, fleet_on
from tests.support.pages import eventually, samples_of, series
from tests.support.process import Exporter, exporter
from tests.support.servers import required

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loki() -> Iterator[Loki]:
    with required():
        loki_servers.prepare()
    with loki_servers.start() as running:
        wait_for(running.answers_queries, what="Loki to answer queries")
        yield running


def held(loki: Loki, stream: str, page: int = 5000) -> list[int]:
    """The sequences that Loki holds of a stream, in the order of their times, with duplicates.

    Loki refuses responses of more than 4 MiB: `page` is smaller for large entries.
    """
    found: list[tuple[int, int]] = []
    start, end = int((time.time() - 86400) * 1e9), int((time.time() + 60) * 1e9)
    while True:
        query: dict[str, str | int] = {"query": f'{{stream="{stream}"}}', "limit": page, "direction": "forward"}
        response = httpx.get(f"{loki.url}/loki/api/v1/query_range", params=query | {"start": start, "end": end}, timeout=60)
        results = response.json()["data"]["result"]
        rows = sorted(
            (int(moment), int(result["stream"]["sequence"])) for result in results for moment, _ in result["values"]
        )
        if not rows:
            return [sequence for _, sequence in found]
        found += rows
        start = rows[-1][0] + 1


@asynccontextmanager
async def copying(server: Nats, loki_url: str, **options: Any) -> AsyncIterator[LokiForwarder]:
    given = {"nats_url": (Address(server.url),), "url": Address(loki_url), "timeout": 5, **options}
    copier = LokiForwarder(LokiOptions.model_validate(given))
    task = asyncio.create_task(copier.run())
    try:
        yield copier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def has_copied(copier: LokiForwarder, stream: str, sequence: int) -> bool:
    try:
        page = series(await samples_of(copier))
    except SourceError:
        return False
    return page.get(f'fleet_exporter_loki_position{{stream="{stream}"}}') == sequence


async def publish(fleet: Fleet, subject: str, number: int) -> None:
    for index in range(number):
        body = {"story_id": f"US-{index}", "agent_id": f"agent-dev-{index % 3}", "role": ("DEV", "QA")[index % 2]}
        await fleet.client.publish(subject, json.dumps(body).encode())
        if index % 200 == 0:
            await fleet.client.flush()
    await fleet.client.flush()


async def test_events_are_found_by_story_within_loki(server: Nats, loki: Loki) -> None:
    async with fleet_on(server.url) as fleet, copying(server, loki.url) as copier:
        await fleet.stream("FOUND", "planning.>")
        await fleet.says("planning.story.created", story_id="US-within-loki", password="hunter2")
        await eventually(lambda: has_copied(copier, "FOUND", 1))
    query = {"query": '{family="planning"} | story="US-within-loki"'}
    async with httpx.AsyncClient() as client:
        [result] = (await client.get(f"{loki.url}/loki/api/v1/query_range", params=query)).json()["data"]["result"]
    assert result["stream"]["stream"] == "FOUND"
    assert "hunter2" not in result["values"][0][1]


async def test_copying_resumes_when_loki_is_back(server: Nats, loki: Loki) -> None:
    port = free_port()
    async with fleet_on(server.url) as fleet, copying(server, f"http://127.0.0.1:{port}") as copier:
        await fleet.stream("WAITING", "planning.>")
        await publish(fleet, "planning.story.created", 300)
        with pytest.raises(SourceError) as down:
            await samples_of(copier)
        assert down.value.reason is Reason.UNREACHABLE
        forwarder = await asyncio.start_server(lambda *streams: _forward(loki.port, *streams), "127.0.0.1", port)
        async with forwarder:
            await eventually(lambda: has_copied(copier, "WAITING", 300))
    assert held(loki, "WAITING") == list(range(1, 301))


async def _forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one connection to a port of this machine and back."""
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()

    await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)


async def publish_large(fleet: Fleet, number: int, size: int) -> None:
    """Events of an LLM: one answer of `size` bytes in many fields, none of which the text limit cuts."""
    content = {f"part{index}": "x" * 1000 for index in range(size // 1000)}
    for index in range(number):
        body = {"story_id": f"US-{index}", "agent_id": "agent-dev-1", "proposal": content}
        await fleet.client.publish("agent.response.completed", json.dumps(body).encode())
    await fleet.client.flush()


@pytest.mark.parametrize(("number", "size"), [(600, 18_000), (40, 900_000)], ids=["18 kB", "900 kB"])
async def test_events_of_an_llms_size_are_copied_with_lokis_default_limits(
    server: Nats, loki: Loki, number: int, size: int
) -> None:
    stream = f"LARGE_{size}"
    async with fleet_on(server.url) as fleet, copying(server, loki.url) as copier:
        await fleet.stream(stream, "agent.response.>")
        await publish_large(fleet, number, size)
        await eventually(lambda: has_copied(copier, stream, number))
    assert held(loki, stream, page=50) == list(range(1, number + 1))


async def test_a_server_that_limits_the_batch_of_a_request_is_copied(loki: Loki) -> None:
    with nats_servers.start(config="jetstream { limits { max_request_batch: 100 } }") as limited:
        async with fleet_on(limited.url) as fleet, copying(limited, loki.url) as copier:
            await fleet.stream("BATCHES", "planning.>")
            await publish(fleet, "planning.story.created", 250)
            await eventually(lambda: has_copied(copier, "BATCHES", 250))
    assert held(loki, "BATCHES") == list(range(1, 251))


async def test_an_entry_that_loki_refuses_is_dropped_and_counted_and_the_rest_is_copied(server: Nats, caplog: Any) -> None:
    with loki_servers.start(limits={"max_line_size": "2KB"}) as strict:
        wait_for(strict.answers_queries, what="Loki to answer queries")
        async with fleet_on(server.url) as fleet, copying(server, strict.url) as copier:
            await fleet.stream("STRICT", "agent.response.>", "planning.>")
            await publish(fleet, "planning.story.created", 50)
            await publish_large(fleet, 2, 5000)
            await publish(fleet, "planning.story.created", 50)
            await eventually(lambda: has_copied(copier, "STRICT", 102))
            page = series(await samples_of(copier))
        copied = held(strict, "STRICT")
    dropped = sum(page[name] for name in page if name.startswith("fleet_exporter_loki_dropped_entries_total"))

    assert copied == [*range(1, 51), *range(53, 103)]
    assert dropped == 2
    assert page['fleet_exporter_loki_entries_total{stream="STRICT"}'] == 100
    assert [record.message for record in caplog.records].count("Loki refuses entries; they are dropped and counted") == 1


async def test_metrics_remain_while_loki_rejects_and_the_reason_has_its_error(server: Nats) -> None:
    with loki_servers.start(limits={"ingestion_rate_mb": 0.001, "ingestion_burst_size_mb": 0.001}) as slow:
        wait_for(slow.answers_queries, what="Loki to answer queries")
        async with fleet_on(server.url) as fleet, copying(server, slow.url) as copier:
            await fleet.stream("SLOW", "agent.response.>")
            await publish_large(fleet, 3, 5000)
            scraper = Scraper([copier])

            async def is_refused() -> bool:
                await scraper.read(5)
                return "returned 429" in scraper.states[0].message

            await eventually(is_refused)
            page, message = series(await scraper.read(5)), scraper.states[0].message

    assert page['fleet_exporter_loki_pending_messages{stream="SLOW"}'] == 3
    assert page['fleet_exporter_loki_position{stream="SLOW"}'] == 0
    assert page['fleet_exporter_source_up{source="loki",server="' + slow.url.removeprefix("http://") + '"}'] == 0
    assert "ingestion rate limit exceeded" in message.lower()


async def test_a_recreated_stream_is_copied_from_its_start(server: Nats, loki: Loki) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("RECREATED", "planning.>")
        async with copying(server, loki.url) as copier:
            await publish(fleet, "planning.story.created", 5)
            await eventually(lambda: has_copied(copier, "RECREATED", 5))
        await fleet.js.delete_stream("RECREATED")
        await fleet.stream("RECREATED", "planning.>")
        await publish(fleet, "planning.story.created", 3)
        async with copying(server, loki.url) as copier:
            await eventually(lambda: has_copied(copier, "RECREATED", 3))
    assert held(loki, "RECREATED") == [1, 2, 3, 4, 5, 1, 2, 3]


ONE_STREAM_HIDDEN = """
accounts { fleet { jetstream: enabled, users: [
  { user: writer, password: w }
  { user: reader, password: r, permissions: { publish: { deny: ["$JS.API.STREAM.INFO.HIDDEN"] } } }
] } }
"""


async def test_a_stream_without_permission_is_reported_while_others_are_copied(loki: Loki) -> None:

    with nats_servers.start(config=ONE_STREAM_HIDDEN) as server:
        async with fleet_on(server.url.replace("//", "//writer:w@")) as fleet:
            await fleet.stream("HIDDEN", "hidden.>")
            await fleet.stream("SHOWN", "planning.>")
            async with copying(server, loki.url, nats_user="reader", nats_password="r") as copier:
                await publish(fleet, "planning.story.created", 3)
                await eventually(lambda: reaches(loki, "SHOWN", 3))
                await publish(fleet, "planning.story.created", 3)
                await eventually(lambda: reaches(loki, "SHOWN", 6))
                with pytest.raises(SourceError, match=r"(?i)stream\.info\.hidden") as caught:
                    await samples_of(copier)
                assert caught.value.reason is Reason.UNAUTHORIZED


async def test_two_replicas_leave_one_copy(server: Nats, loki: Loki) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("TWICE", "planning.>")
        async with copying(server, loki.url) as one, copying(server, loki.url) as other:
            await publish(fleet, "planning.story.created", 1000)
            for copier in (one, other):
                await eventually(functools.partial(has_copied, copier, "TWICE", 1000))
    assert held(loki, "TWICE") == list(range(1, 1001))


async def test_twenty_kills_in_a_hundred_thousand_events_lose_and_duplicate_nothing(server: Nats, loki: Loki) -> None:
    variables = {"NATS_URL": server.url, "LOKI_URL": loki.url, "FLEET_EXPORTER_FLEET_FOLLOW_EVENTS": "false"}
    streams = {"KILLED_A": "agent.response.completed", "KILLED_B": "planning.story.created"}
    async with fleet_on(server.url) as fleet:
        await fleet.stream("KILLED_A", "agent.response.>")
        await fleet.stream("KILLED_B", "planning.>")
        for _ in range(20):
            with exporter(variables=variables) as running:
                for subject in streams.values():
                    await publish(fleet, subject, 2500)
                # It is killed as soon as it has begun to copy, with thousands of events before it.
                await eventually(functools.partial(copies, running))
                running.process.kill()
        async with copying(server, loki.url):
            for stream in streams:
                await eventually(functools.partial(reaches, loki, stream, 50_000))
    for stream in streams:
        assert held(loki, stream) == list(range(1, 50_001))


async def copies(running: Exporter) -> bool:
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"{running.url}/metrics", params={"name[]": "fleet_exporter_loki_entries_total"})).text
    return any(float(line.rpartition(" ")[2]) > 0 for line in page.splitlines() if not line.startswith("#"))


async def newest(loki: Loki, stream: str) -> int:
    async with httpx.AsyncClient() as client:
        query: dict[str, str | int] = {"query": f'{{stream="{stream}"}}', "limit": 1, "direction": "backward"}
        response = await client.get(f"{loki.url}/loki/api/v1/query_range", params=query)
    return last_position(response.content).sequence


async def reaches(loki: Loki, stream: str, sequence: int) -> bool:
    return await newest(loki, stream) >= sequence
