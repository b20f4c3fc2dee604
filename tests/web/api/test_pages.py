"""Past events in pages: every event once, in both directions, while others arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from servers import nats as nats_servers
from tests.support.fleet_streams import fleet_on
from tests.support.pages import eventually
from tests.support.process import Exporter, exporter

NUMBER = 60
Key = tuple[str, int]


async def _published(url: str) -> None:
    async with fleet_on(url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        await fleet.stream("AGENT_RESPONSES", "agent.response.>")
        await fleet.stream("HOLES", "context.>")
        for number in range(NUMBER):
            await fleet.says(f"planning.paged.{number % 3}", story_id="epic/US-1", number=number)
            await fleet.says("agent.response.completed", agent_id=f"agent-dev-00{number % 2}", task_id=f"T-{number}")
            await fleet.says("context.updated", story_id="US-2")
        for sequence in range(5, NUMBER - 4):
            await fleet.js.delete_msg("HOLES", sequence)


@pytest.fixture(scope="module")
def bus() -> Iterator[str]:
    with nats_servers.start() as server:
        asyncio.run(_published(server.url))
        yield server.url


def page(running: Exporter, path: str = "/api/events", **query: Any) -> dict[str, Any]:
    response = httpx.get(f"{running.url}{path}", params={"since": "1h", **query}, timeout=30)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def keys(found: dict[str, Any]) -> list[Key]:
    return [(event["stream"], event["sequence"]) for event in found["events"]]


def walked(running: Exporter, **query: Any) -> list[dict[str, Any]]:
    """Every page from the first to the last."""
    pages = [page(running, **query)]
    while pages[-1]["next"]:
        pages.append(page(running, **query, cursor=pages[-1]["next"]))
    return pages


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize(("limit", "family", "number"), [(4, "context", 9), (50, None, 129), (1000, None, 129)])
def test_pages_hold_every_event_once_in_order(
    running: Exporter, order: str, limit: int, family: str | None, number: int
) -> None:
    query = {"order": order} | ({"family": family} if family else {}) | {"until": "0s"}
    pages = walked(running, limit=limit, **query)
    whole = keys(page(running, limit=1000, **query))
    stored = [event["stored"] for found in pages for event in found["events"]]

    assert [key for found in pages for key in keys(found)] == whole
    assert len(set(whole)) == len(whole)
    assert stored == sorted(stored, reverse=order == "newest")
    assert all(len(found["events"]) <= limit for found in pages)
    assert [found["truncated"] for found in pages] == [True] * (len(pages) - 1) + [False]
    assert (len(whole), len(pages)) == (number, -(-number // limit))


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_paging_back_and_forth_returns_the_same_events(running: Exporter, order: str) -> None:
    query: dict[str, Any] = {"limit": 40, "order": order, "until": "0s"}
    forth = walked(running, **query)
    back = [forth[-1]]
    while back[-1]["previous"]:
        back.append(page(running, **query, cursor=back[-1]["previous"]))

    returned = [key for found in reversed(back) for key in keys(found)]
    assert returned == [key for found in forth for key in keys(found)]


async def test_cursors_stay_stable_while_events_arrive(running: Exporter, bus: str) -> None:
    first = page(running, subject="planning.>", limit=10)
    async with fleet_on(bus) as fleet:
        for number in range(5):
            await fleet.says("planning.late", number=number)
    older = page(running, subject="planning.>", limit=10, cursor=first["next"])
    newer = page(running, subject="planning.>", limit=10, cursor=first["previous"])
    last = page(running, subject="planning.>", limit=10, cursor=newer["previous"])

    assert keys(older)[0][1] == keys(first)[-1][1] - 1
    assert [event["payload"]["number"] for event in newer["events"]] == [4, 3, 2, 1, 0]
    assert keys(page(running, subject="planning.>", limit=10, cursor=newer["next"])) == keys(first)
    assert last["events"] == []
    assert keys(page(running, subject="planning.>", limit=5, cursor=last["next"])) == keys(newer)
    async with fleet_on(bus) as fleet:
        await fleet.js.purge_stream("PLANNING_EVENTS", subject="planning.late")  # the other tests count events


def test_a_range_of_time(running: Exporter) -> None:
    every = page(running, order="oldest")["events"]
    since, until = every[20]["stored"], every[40]["stored"]
    found = page(running, since=since, until=until, order="oldest")["events"]

    between = [event["sequence"] for event in every if since < event["stored"] < until]  # times are cut to milliseconds
    assert set(between) <= {event["sequence"] for event in found}
    assert all(since <= event["stored"] <= until for event in found)
    refused = httpx.get(f"{running.url}/api/events", params={"since": until, "until": since})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == "until"


def test_link_headers_lead_to_adjacent_pages(running: Exporter) -> None:
    for form in ("json", "ndjson", "csv"):
        query: dict[str, str | int] = {"since": "1h", "limit": 5, "family": "agent", "format": form}
        response = httpx.get(f"{running.url}/api/events", params=query)
        following = httpx.get(response.url.join(response.links["next"]["url"]))

        assert following.status_code == 200
        assert following.headers["content-type"] == response.headers["content-type"]
        assert following.text != response.text
        assert {"next", "prev"} == response.links.keys()


def test_a_story_with_a_slash_in_its_id_opens_page_by_page(running: Exporter) -> None:
    path = "/api/stories/epic%2FUS-1"
    first = page(running, path, limit=40)
    second = page(running, path, limit=40, cursor=first["next"])

    assert first["story"]["id"] == "epic/US-1"
    numbers = [event["payload"]["number"] for found in (first, second) for event in found["events"]]
    assert numbers == list(range(NUMBER))
    assert (first["truncated"], second["truncated"], second["next"]) == (True, False, None)


async def _flooded(url: str, number: int) -> None:
    async with fleet_on(url) as fleet:
        await fleet.stream("FLOOD", "flood.>")
        for _ in range(number // 1000):
            for _ in range(1000):
                await fleet.client.publish("flood.said", b'{"story_id": "US-1"}')
            await fleet.client.flush()

        async def stored() -> bool:
            return (await fleet.js.stream_info("FLOOD")).state.messages == number

        await eventually(stored)


@pytest.fixture(scope="module")
def flooded() -> Iterator[Exporter]:
    with nats_servers.start() as server:
        asyncio.run(_flooded(server.url, 100_000))
        variables = {"NATS_URL": server.url, "FLEET_EXPORTER_FLEET_LOOKBACK": "0.001"}
        with exporter(variables=variables) as process:
            yield process


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_a_search_without_matches_stops_at_its_deadline_and_resumes(flooded: Exporter, order: str) -> None:
    query: dict[str, Any] = {"q": "none-such", "order": order}
    first = page(flooded, **query, timeout=0.3)
    assert (first["events"], first["truncated"], first["stopped"]) == ([], True, "deadline")

    cursor, read_to = first["next"], []
    while cursor:
        found = page(flooded, **query, timeout=3, cursor=cursor)
        cursor = found["next"]
        read_to += [found["read_to"]] if cursor else []
    assert read_to == sorted(read_to, reverse=order == "newest")
    assert len(set(read_to)) == len(read_to)


async def test_searches_end_with_their_clients_and_their_number_is_bounded(flooded: Exporter) -> None:
    query = {"since": "1h", "q": "none-such", "order": "oldest"}
    async with httpx.AsyncClient(timeout=30) as client:

        async def free() -> bool:
            response = await client.get(f"{flooded.url}/api/events", params={"since": "1h", "limit": 1})
            return response.status_code == 200

        searching = [client.get(f"{flooded.url}/api/events", params=query) for _ in range(12)]
        searches = [asyncio.create_task(search) for search in searching]  # more than there are slots
        done, running = await asyncio.wait(searches, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop().result()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["detail"].startswith("the maximum of 6 searches")
        for search in running:
            search.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        async with asyncio.timeout(5):  # half of what the searches would have taken
            await eventually(free)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "W10", "=" * 40, "é"])
def test_an_invalid_cursor_is_rejected(running: Exporter, cursor: str) -> None:
    response = httpx.get(f"{running.url}/api/events", params={"cursor": cursor})

    assert response.status_code == 422
    assert response.json()["detail"].startswith("cursor: expected `next` or `previous` of an earlier response")
