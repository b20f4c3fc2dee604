"""The page at `/` as a browser shows it: the fleet as it moves, and nothing that an agent wrote run as a program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from servers import chromium
from servers import nats as nats_servers
from tests.support.fleet_streams import Fleet, fleet_on
from tests.support.process import exporter
from tests.support.servers import required

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with required():
        path = chromium.prepare()
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def bus() -> Iterator[str]:
    with nats_servers.start() as server:
        says(server.url, _streams)
        yield server.url


def says(url: str, work: Callable[[Fleet], Awaitable[None]]) -> None:
    """Publish from a thread of its own: playwright keeps an event loop in this one."""

    async def main() -> None:
        async with fleet_on(url) as fleet:
            await work(fleet)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()


async def _streams(fleet: Fleet) -> None:
    await fleet.stream("PLANNING_EVENTS", "planning.>")
    await fleet.stream("AGENT_RESPONSES", "agent.response.>")
    await fleet.says("planning.story.created", story_id="US-1", title=HOSTILE)


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, bus: str) -> Iterator[Page]:
    scheme: Literal["light", "dark"] = request.param
    with exporter(variables={"NATS_URL": bus}) as running:
        shown = browser.new_page(color_scheme=scheme)
        problems: list[str] = []
        shown.on("pageerror", lambda error: problems.append(str(error)))
        shown.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        shown.on("request", lambda asked: problems.append(asked.url) if not asked.url.startswith(running.url) else None)
        shown.goto(running.url)
        yield shown
        shown.close()
        assert [problem for problem in problems if not problem.startswith("data:")] == []


async def _answers(fleet: Fleet) -> None:
    for number in (1, 2):
        body = {"agent_id": f"agent-dev-00{number}", "task_id": "T-1", "num_agents": 3, "proposal": {"content": HOSTILE}}
        await fleet.says("agent.response.completed", duration_ms=2300, **body)
    await fleet.says("agent.response.failed", agent_id="agent-dev-003", task_id="T-1", error=HOSTILE)
    await fleet.says("planning.story.transitioned", story_id="US-1", from_state="BACKLOG", to_state="DRAFT")


def test_the_fleet_moves_and_a_story_opens(page: Page, bus: str) -> None:
    expect(page.locator("#connection")).to_have_text("live")
    says(bus, _answers)

    council = page.locator(".council", has_text="DEV")
    expect(council.locator("tr", has_text="agent-dev-001")).to_contain_text("completed")
    expect(council.locator("tr", has_text="agent-dev-003")).to_contain_text("failed")
    expect(page.locator("#events tbody tr").first).to_contain_text("BACKLOG → DRAFT")
    expect(page.locator("#events tbody")).to_contain_text("2.3 s")
    expect(page.locator("#counts")).to_contain_text("1 DRAFT")

    page.locator("#events button", has_text="US-1").first.click()
    expect(page.locator("#story li", has_text="planning.story.transitioned").first).to_be_visible()
    expect(page.locator("#story p")).to_contain_text("DRAFT")

    assert page.title() == "fleet-exporter"
    assert page.locator("#events img, #events script, #story img").count() == 0
    expect(page.locator("#events tbody")).to_contain_text("<img src=x")
    expect(page.locator("body")).to_contain_text("jetstream")


def test_fifty_events_are_kept(page: Page, bus: str) -> None:
    async def many(fleet: Fleet) -> None:
        for number in range(70):
            await fleet.says("planning.counted", story_id=f"US-{number}")

    expect(page.locator("#connection")).to_have_text("live")
    says(bus, many)

    expect(page.locator("#events tbody tr").first).to_contain_text("US-69")
    expect(page.locator("#events tbody tr")).to_have_count(50)
