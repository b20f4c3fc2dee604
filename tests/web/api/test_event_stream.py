"""Live events over Server-Sent Events and WebSocket, after a replay."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websockets

from exporter.events.broadcast import CLIENTS, DROPPED_CLIENTS
from tests.support.fleet_streams import Fleet, fleet_on
from tests.support.pages import eventually
from tests.support.process import Exporter, exporter


async def parts(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    """(event, data) of a Server-Sent Events stream."""
    kind = ""
    async for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


async def numbered(fleet: Fleet, numbers: range) -> None:
    for number in numbers:
        await fleet.says("planning.counted", story_id=f"US-{number}")


async def test_a_stream_of_server_sent_events(running: Exporter, bus: str) -> None:
    query = {"subject": "planning.counted"}
    async with (
        fleet_on(bus) as fleet,
        httpx.AsyncClient() as client,
        client.stream("GET", f"{running.url}/api/events/stream", params=query) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        assert await anext(lines) == ": connected"
        await fleet.says("planning.other", story_id="US-0")
        await numbered(fleet, range(100, 103))
        found = []
        async for kind, data in parts(lines):
            found.append((kind, data["story"]))
            if len(found) == 3:
                break
        assert found == [("event", "US-100"), ("event", "US-101"), ("event", "US-102")]


@pytest.mark.parametrize("speed", [0, 1000])
async def test_a_replay_continues_with_live_events_without_a_gap(running: Exporter, bus: str, speed: int) -> None:
    query: dict[str, str | int] = {"subject": "planning.replayed", "replay": "1h", "speed": speed}
    async with fleet_on(bus) as fleet, httpx.AsyncClient() as client:
        past = (await fleet.js.stream_info("PLANNING_EVENTS")).state.last_seq
        for number in range(5):
            await fleet.says("planning.replayed", story_id=f"US-{number}")
        async with client.stream("GET", f"{running.url}/api/events/stream", params=query) as response:
            found: list[int] = []
            async for kind, data in parts(response.aiter_lines()):
                if kind == "replayed":
                    for number in range(5):
                        await fleet.says("planning.replayed", story_id=f"US-{number}")
                elif kind == "event":
                    found.append(data["sequence"])
                if found and found[-1] >= past + 10:
                    break
            assert found == sorted(set(found))
            assert found[-10:] == list(range(past + 1, past + 11))


async def test_a_web_socket_and_its_replay(running: Exporter, bus: str) -> None:
    address = running.url.replace("http", "ws") + "/ws?replay=1h&subject=agent.response.failed"
    async with fleet_on(bus) as fleet, websockets.connect(address) as socket:
        first = json.loads(await socket.recv())
        assert (first["kind"], first["agent"], first["outcome"]) == ("event", "agent-qa-001", "failed")
        assert json.loads(await socket.recv())["kind"] == "replayed"
        await fleet.says("agent.response.failed", agent_id="agent-qa-001", error="again")
        assert json.loads(await socket.recv())["error"] == "again"


async def test_a_web_socket_from_another_origin_is_rejected(running: Exporter) -> None:
    address = running.url.replace("http", "ws") + "/ws"
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(address, origin=websockets.Origin("https://elsewhere.example"))


async def test_a_client_that_reads_too_slowly_is_dropped_counted_and_notified(bus: str) -> None:
    with exporter(variables={"NATS_URL": bus, "FLEET_EXPORTER_JETSTREAM_TIMEOUT": "5"}) as process:
        async with fleet_on(bus) as fleet, httpx.AsyncClient(timeout=30) as client:
            await client.get(f"{process.url}/metrics")
            async with client.stream("GET", f"{process.url}/api/events/stream") as response:
                lines = response.aiter_lines()
                await anext(lines)
                body = json.dumps({"story_id": "US-1", "text": "x" * 1500}).encode()

                async def dropped() -> bool:
                    for _ in range(2000):
                        await fleet.client.publish("planning.flood", body)
                    await fleet.client.flush()
                    page = (await client.get(f"{process.url}/metrics")).text
                    return "fleet_exporter_stream_dropped_clients_total 1\n" in page

                await eventually(dropped)
                kinds = [kind async for kind, _ in parts(lines)]
            assert kinds[-1] == "dropped"


async def test_a_client_that_never_reads_is_disconnected(bus: str) -> None:
    with exporter(variables={"NATS_URL": bus, "FLEET_EXPORTER_JETSTREAM_TIMEOUT": "5"}) as process:
        address = urlsplit(process.url)
        async with fleet_on(bus) as fleet, httpx.AsyncClient(timeout=30) as client:

            async def value(name: str) -> float:
                page = (await client.get(f"{process.url}/metrics")).text
                return next((float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} ")), -1)

            await client.get(f"{process.url}/metrics")
            with socket.create_connection((str(address.hostname), address.port or 0)) as silent:
                silent.sendall(b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                body = json.dumps({"story_id": "US-1", "text": "x" * 1500}).encode()

                async def dropped() -> bool:
                    for _ in range(2000):
                        await fleet.client.publish("planning.flood", body)
                    await fleet.client.flush()
                    return await value(DROPPED_CLIENTS.name) == 1

                async def disconnected() -> bool:
                    return await value(CLIENTS.name) == 0

                await eventually(dropped)
                assert await value(CLIENTS.name) == 1  # it holds its place until it is gone
                await eventually(disconnected)
