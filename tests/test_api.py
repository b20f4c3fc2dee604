"""The API over real sockets, on a real nats-server with a small fleet's events."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import bcrypt
import httpx
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from demo.servers import nats as nats_servers
from exporter.api.filter import EventFilter, moment, span
from exporter.event import Event, Message, parsed
from tests.fleet.following import Fleet, fleet_on
from tests.fleet.test_event import BODIES, SUBJECTS
from tests.reading import eventually, run
from tests.running import Exporter, exporter

SECRET = "hunter2"


async def _lived(url: str) -> None:
    async with fleet_on(url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.stream("AGENT_RESPONSES", "agent.response.>")
        await fleet.says("planning.story.created", story_id="US-1", title="=cmd()", token=SECRET)
        await fleet.says("planning.story.transitioned", story_id="US-1", from_state="BACKLOG", to_state="DRAFT")
        for number in (1, 2):
            body = {
                "agent_id": f"agent-dev-00{number}",
                "task_id": "T-1",
                "num_agents": 3,
                "duration_ms": 1500,
                "model": "Q",
            }
            await fleet.says("agent.response.completed", constraints={"story_id": "US-1"}, **body)
        await fleet.says("agent.response.failed", agent_id="agent-qa-001", task_id="T-2", error="no <b>answer</b>")
        await fleet.js.publish("planning.noise", b"not json")


@pytest.fixture(scope="module")
def bus() -> Iterator[str]:
    with nats_servers.start() as server:
        run(_lived(server.url))
        yield server.url


@pytest.fixture(scope="module")
def running(bus: str) -> Iterator[Exporter]:
    with exporter(variables={"NATS_URL": bus}) as process:

        async def ready() -> bool:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{process.url}/api/councils")).status_code == 200

        run(eventually(ready))
        yield process


def asked(running: Exporter, path: str, **query: Any) -> Any:
    reply = httpx.get(f"{running.url}{path}", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_councils_and_their_agents(running: Exporter) -> None:
    councils = {council["role"]: council for council in asked(running, "/api/councils")}

    assert (councils["DEV"]["size"], councils["DEV"]["expected_size"], councils["DEV"]["models"]) == (2, 3, ["Q"])
    assert [agent["state"] for agent in councils["QA"]["agents"]] == ["failed"]


def test_agents_by_role_and_state(running: Exporter) -> None:
    assert [agent["id"] for agent in asked(running, "/api/agents", role="developer")] == ["agent-dev-001", "agent-dev-002"]
    assert [agent["id"] for agent in asked(running, "/api/agents", state="failed")] == ["agent-qa-001"]


def test_an_agent_with_its_history(running: Exporter) -> None:
    agent = asked(running, "/api/agents/agent-qa-001")

    assert (agent["failed"], agent["success_ratio"]) == (1, 0)
    assert agent["history"][0]["error"] == "no <b>answer</b>"
    assert httpx.get(f"{running.url}/api/agents/nobody").status_code == 404


def test_a_storys_whole_timeline(running: Exporter) -> None:
    found = asked(running, "/api/stories/US-1")

    assert (found["story"]["stage"], found["story"]["title"], found["truncated"]) == ("DRAFT", "=cmd()", False)
    assert [event["type"].rpartition(".")[2] for event in found["events"]] == [
        "created", "transitioned", "completed", "completed",
    ]  # fmt: skip
    assert httpx.get(f"{running.url}/api/stories/US-404").status_code == 404


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({}, 5),
        ({"family": "planning"}, 2),
        ({"subject": "agent.*.failed"}, 1),
        ({"subject": "agent.>"}, 3),
        ({"story": "US-1"}, 4),
        ({"role": "qa"}, 1),
        ({"agent": "agent-dev-002"}, 1),
        ({"outcome": "failed"}, 1),
        ({"q": "no <b>"}, 1),
        ({"story": "US-1", "role": "DEV"}, 2),
        ({"since": "1ms"}, 0),
    ],
)
def test_events_by_what_they_are(running: Exporter, query: dict[str, str], number: int) -> None:
    assert len(asked(running, "/api/events", **{"since": "1h", **query})["events"]) == number


def test_events_are_limited_and_say_so(running: Exporter) -> None:
    found = asked(running, "/api/events", since="1h", limit=2)

    assert (len(found["events"]), found["truncated"]) == (2, True)


def test_secrets_are_not_shown(running: Exporter) -> None:
    found = asked(running, "/api/events", since="1h", subject="planning.story.created")

    assert found["events"][0]["payload"]["token"] == "[redacted]"
    assert SECRET not in json.dumps(found)


def test_events_as_lines_and_as_a_table(running: Exporter) -> None:
    lines = httpx.get(f"{running.url}/api/events", params={"since": "1h", "format": "ndjson"})
    table = httpx.get(f"{running.url}/api/events", params={"since": "1h", "format": "csv"})

    assert [json.loads(line)["sequence"] for line in lines.text.splitlines()] == [1, 2, 1, 2, 3]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert rows[4]["error"] == "no <b>answer</b>"
    assert rows[2]["duration_seconds"] == "1.5"


@pytest.mark.parametrize("since", ["soon", "5x", "", "-5m"])
def test_a_time_that_is_none_is_refused(running: Exporter, since: str) -> None:
    reply = httpx.get(f"{running.url}/api/events", params={"since": since})

    assert reply.status_code == 422
    assert "neither a span" in reply.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/api/ray/jobs", "/api/ray/jobs/default/x", "/api/metrics/vllm", "/api/graph/nodes", "/api/cache/keys"]
)
def test_a_backend_that_is_not_configured_says_how_it_would_be(running: Exporter, path: str) -> None:
    reply = httpx.get(f"{running.url}{path}")

    assert reply.status_code == 404
    assert "configured" in reply.json()["detail"]


def test_nothing_but_reading_is_offered(running: Exporter) -> None:
    paths = asked(running, "/openapi.json")["paths"]

    assert {method for path in paths.values() for method in path} == {"get"}
    assert httpx.delete(f"{running.url}/api/events").status_code == 405


def test_the_documentation_needs_nothing_from_elsewhere(running: Exporter) -> None:
    page = httpx.get(f"{running.url}/docs").text

    assert "https://" not in page
    assert httpx.get(f"{running.url}/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_sources(running: Exporter) -> None:
    httpx.get(f"{running.url}/metrics")

    assert {row["source"]: row["up"] for row in asked(running, "/api/sources")} == {"jetstream": True, "fleet": True}


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


def test_a_stream_of_server_sent_events(running: Exporter, bus: str) -> None:
    async def main() -> None:
        query = {"subject": "planning.counted"}
        async with (
            fleet_on(bus) as fleet,
            httpx.AsyncClient() as client,
            client.stream("GET", f"{running.url}/api/events/stream", params=query) as reply,
        ):
            assert reply.headers["content-type"].startswith("text/event-stream")
            lines = reply.aiter_lines()
            assert await anext(lines) == ": connected"
            await fleet.says("planning.other", story_id="US-0")
            await numbered(fleet, range(100, 103))
            found = []
            async for kind, data in parts(lines):
                found.append((kind, data["story"]))
                if len(found) == 3:
                    break
            assert found == [("event", "US-100"), ("event", "US-101"), ("event", "US-102")]

    run(main())


@pytest.mark.parametrize("speed", [0, 1000])
def test_a_replay_goes_over_into_the_present_without_a_gap(running: Exporter, bus: str, speed: int) -> None:
    async def main() -> None:
        query: dict[str, str | int] = {"subject": "planning.replayed", "replay": "1h", "speed": speed}
        async with fleet_on(bus) as fleet, httpx.AsyncClient() as client:
            past = (await fleet.js.stream_info("PLANNING_EVENTS")).state.last_seq
            for number in range(5):
                await fleet.says("planning.replayed", story_id=f"US-{number}")
            async with client.stream("GET", f"{running.url}/api/events/stream", params=query) as reply:
                found: list[int] = []
                async for kind, data in parts(reply.aiter_lines()):
                    if kind == "replayed":
                        for number in range(5):
                            await fleet.says("planning.replayed", story_id=f"US-{number}")
                    elif kind == "event":
                        found.append(data["sequence"])
                    if found and found[-1] >= past + 10:
                        break
                assert found == sorted(set(found))
                assert found[-10:] == list(range(past + 1, past + 11))

    run(main())


def test_a_web_socket_and_its_replay(running: Exporter, bus: str) -> None:
    async def main() -> None:
        address = running.url.replace("http", "ws") + "/ws?replay=1h&subject=agent.response.failed"
        async with fleet_on(bus) as fleet, websockets.connect(address) as socket:
            first = json.loads(await socket.recv())
            assert (first["kind"], first["agent"], first["outcome"]) == ("event", "agent-qa-001", "failed")
            assert json.loads(await socket.recv())["kind"] == "replayed"
            await fleet.says("agent.response.failed", agent_id="agent-qa-001", error="again")
            assert json.loads(await socket.recv())["error"] == "again"

    run(main())


def test_a_page_of_another_site_gets_no_web_socket(running: Exporter) -> None:
    async def main() -> None:
        address = running.url.replace("http", "ws") + "/ws"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(address, origin=websockets.Origin("https://elsewhere.example"))

    run(main())


def test_a_client_that_reads_too_slowly_is_dropped_counted_and_told(bus: str) -> None:
    async def main() -> None:
        with exporter(variables={"NATS_URL": bus, "FLEET_EXPORTER_JETSTREAM_TIMEOUT": "5"}) as process:
            async with fleet_on(bus) as fleet, httpx.AsyncClient(timeout=30) as client:
                await client.get(f"{process.url}/metrics")
                async with client.stream("GET", f"{process.url}/api/events/stream") as reply:
                    lines = reply.aiter_lines()
                    await anext(lines)
                    body = json.dumps({"story_id": "US-1", "text": "x" * 1500}).encode()

                    async def dropped() -> bool:
                        for _ in range(2000):
                            await fleet.client.publish("planning.flood", body)
                        await fleet.client.flush()
                        page = (await client.get(f"{process.url}/metrics")).text
                        return "fleet_listeners_dropped_total 1\n" in page

                    await eventually(dropped)
                    kinds = [kind async for kind, _ in parts(lines)]
                assert kinds[-1] == "dropped"

    run(main())


def test_the_api_has_the_authentication_of_the_page(bus: str, tmp_path: Any) -> None:
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  operator: {hashed}\n")

    async def main() -> None:
        with exporter(f"--web.config.file={file}", variables={"NATS_URL": bus}) as process:
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{process.url}/api/events")).status_code == 401
                assert (await client.get(f"{process.url}/docs")).status_code == 401
                known = httpx.BasicAuth("operator", SECRET)
                assert (await client.get(f"{process.url}/api/events", auth=known)).status_code == 200
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(process.url.replace("http", "ws") + "/ws")
            assert refused.value.response.status_code == 401

    run(main())


def test_without_events_the_api_says_so() -> None:
    with exporter(variables={"REDIS_URL": "redis://127.0.0.1:1"}) as process:
        reply = httpx.get(f"{process.url}/api/councils")

        assert reply.status_code == 404
        assert "NATS_URL" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25), ("5", None), ("m", None)],
)
def test_spans(text: str, seconds: float | None) -> None:
    assert span(text) == seconds


def test_moments() -> None:
    assert moment("5m", 1000) == 700
    assert moment("2025-11-20T10:00:00Z", 0) == 1_763_632_800


_WANTED = st.builds(
    EventFilter,
    story=st.none() | st.sampled_from(["US-1", "7", "ü", 'a"b']),
    agent=st.none() | st.text(max_size=5),
    q=st.none() | st.text(max_size=3),
    subject=st.none() | st.sampled_from(["planning.>", "*.x", "agent.response.*"]),
)


@given(subject=SUBJECTS, body=BODIES, wanted=_WANTED)
def test_the_quick_look_never_passes_over_what_matches(subject: str, body: dict[str, Any], wanted: EventFilter) -> None:
    message = Message(subject, json.dumps(body).encode(), 0.0)
    event = parsed(message)

    if isinstance(event, Event) and wanted.matches(event):
        assert wanted.may_match(message)


def test_it_goes_on_while_a_search_runs(running: Exporter) -> None:
    async def main() -> None:
        async with httpx.AsyncClient() as client:
            asked_for = [client.get(f"{running.url}/api/events", params={"since": "1h"}) for _ in range(8)]
            statuses = {reply.status_code for reply in await asyncio.gather(*asked_for)}
            assert statuses <= {200, 503}
            assert 200 in statuses

    run(main())
