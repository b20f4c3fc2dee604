"""The page at `/` in a real browser: live updates, and no execution of text written by agents."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from servers import chromium
from servers import nats as nats_servers
from tests.support import npm
from tests.support.fleet_streams import Fleet, fleet_on
from tests.support.process import exporter
from tests.support.servers import required

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with required():
        path = chromium.prepare()
    expect.set_options(timeout=60_000)  # a busy machine draws slowly
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
    """Publish from a separate thread: playwright keeps an event loop in this one."""

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


def test_the_page_updates_and_a_story_opens(page: Page, bus: str) -> None:
    expect(page.locator("#connection")).to_have_text("live")
    says(bus, _answers)

    council = page.locator(".council", has_text="DEV")
    expect(council.locator("li", has_text="agent-dev-001")).to_contain_text("completed")
    expect(council.locator("li", has_text="agent-dev-003")).to_contain_text("failed")
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


def test_the_page_keeps_fifty_events(page: Page, bus: str) -> None:
    async def many(fleet: Fleet) -> None:
        for number in range(70):
            await fleet.says("planning.counted", story_id=f"US-{number}")

    expect(page.locator("#connection")).to_have_text("live")
    says(bus, many)

    expect(page.locator("#events tbody tr").first).to_contain_text("US-69")
    expect(page.locator("#events tbody tr")).to_have_count(50)


def axe(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and good practice."""
    with required():
        script = npm.built(Path(__file__).parent / "axe", _axe) / "axe.min.js"
    page.evaluate(script.read_text())
    rules = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
    found = page.evaluate(f"axe.run(document, {{runOnly: {rules}}})")
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    return [f"{fault['id']}: {node['html']}" for fault in found["violations"] for node in fault["nodes"]]


def _axe(folder: Path) -> None:
    shutil.copy(folder / "node_modules/axe-core/axe.min.js", folder)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_accessible(page: Page, bus: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("#connection")).to_have_text("live")
    says(bus, _answers)
    expect(page.locator(".council li", has_text="agent-dev-003")).to_contain_text("failed")

    assert axe(page) == []
    page.locator("#events button", has_text="US-1").first.click()
    expect(page.locator("#story li").first).to_be_visible()
    assert axe(page) == []


def test_a_story_opens_and_closes_with_the_keyboard(page: Page, bus: str) -> None:
    expect(page.locator("#connection")).to_have_text("live")
    says(bus, _answers)
    link = page.locator("#events button", has_text="US-1").first
    expect(link).to_be_visible()

    page.locator("#events").locator("..").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "link"
    page.keyboard.press("Enter")
    expect(page.locator("#story li").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#story")).to_be_hidden()


def test_agents_tasks_councils_and_events_are_searched(page: Page, bus: str) -> None:
    expect(page.locator("#connection")).to_have_text("live")
    says(bus, _answers)
    agents = page.locator(".council li", has_text="agent-dev-").filter(visible=True)
    events = page.locator("#events tbody tr").filter(visible=True)
    expect(agents).to_have_count(3)

    page.locator("#search").fill("DEV-003")
    expect(agents).to_have_count(1)
    for row in events.all():
        assert "dev-003" in row.inner_text()
    says(bus, _answers)  # what arrives later is searched, too
    expect(events.filter(has_text="agent-dev-003").first).to_be_visible()
    expect(events.filter(has_text="agent-dev-001")).to_have_count(0)
    page.locator("#search").fill("T-1")
    expect(agents.filter(has_text="T-1").first).to_be_visible()
    page.locator("#search").fill("DEV ")
    expect(agents).to_have_count(3)
    page.locator("#search").fill("")
    expect(events.filter(has_text="agent-dev-001").first).to_be_visible()


AGENTS = 1000


async def _one_more(fleet: Fleet) -> None:
    await fleet.says("agent.response.completed", agent_id="agent-dev-001", task_id="T-new", num_agents=1)


async def _thousand_agents(fleet: Fleet) -> None:
    for number in range(AGENTS):
        body = {"agent_id": f"agent-{'qa' if number % 2 else 'data'}-{number:04}", "task_id": f"T-{number}", "num_agents": 1}
        await fleet.says("agent.response.completed", duration_ms=2300, **body)


def test_a_thousand_agents_are_shown_and_only_what_changes_is_drawn(browser: Browser) -> None:
    with nats_servers.start() as server:
        says(server.url, _streams)
        says(server.url, _thousand_agents)
        variables = {"NATS_URL": server.url, "FLEET_EXPORTER_FLEET_MAX_AGENTS": str(2 * AGENTS)}
        with exporter(variables=variables) as running:
            shown = browser.new_page()
            shown.goto(running.url)
            agents = shown.locator(".council li", has_text=re.compile("agent-(qa|data)-[0-9]{4}"))
            expect(agents).to_have_count(AGENTS)
            shown.locator(".council", has_text="agent-qa-0001").evaluate("card => { card.drawn = 'once' }")
            says(server.url, _one_more)
            expect(shown.locator(".council li", has_text="agent-dev-001")).to_be_visible()

            assert shown.locator(".council", has_text="agent-qa-0001").evaluate("card => card.drawn") == "once"
            shown.locator("#search").fill("agent-qa-0999")
            expect(agents.filter(visible=True)).to_have_count(1)
            shown.close()


LONG_TASK = "TSK-2025-11-20-implement-the-login-form-of-the-customer-portal-with-single-sign-on"


async def _long_names(fleet: Fleet) -> None:
    for number in range(3):
        body = {"agent_id": f"agent-architect-00{number}", "task_id": f"{LONG_TASK}-{number}", "num_agents": 3}
        await fleet.says("agent.response.completed", duration_ms=2300, model="Qwen/Qwen3-Coder-480B-A35B", **body)
    await fleet.says("agent.response.failed", agent_id="agent-qa-001", task_id=LONG_TASK, error="E" * 300)


@pytest.mark.parametrize("width", [390, 1280, 1400])
def test_nothing_overflows_and_tasks_are_readable(page: Page, bus: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("#connection")).to_have_text("live")
    says(bus, _long_names)

    task = page.locator(".council li", has_text="agent-architect-002").locator(".task")
    expect(task).to_have_text(f"{LONG_TASK}-2")
    expect(page.locator("#events tbody")).to_contain_text("EEEE")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hidden = "e => e.scrollWidth > e.clientWidth || e.getBoundingClientRect().right > innerWidth"
    assert not task.evaluate(hidden)
    for cell in page.locator(".council span, #sources td, #events td:first-child").all():
        assert not cell.evaluate(hidden), cell.inner_text()


def test_sources_refresh_without_a_reload(browser: Browser, bus: str) -> None:
    with exporter(variables={"NATS_URL": bus}) as running:
        shown = browser.new_page()
        shown.goto(running.url)
        shown.evaluate("window.loaded = 'once'")
        before = shown.locator("#sources").inner_text()
        httpx.get(f"{running.url}/metrics")
        expect(shown.locator("#sources")).not_to_have_text(before, timeout=60_000, use_inner_text=True)
        assert shown.evaluate("window.loaded") == "once"
        shown.close()


def test_every_source_has_a_description(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "fleet.kubeconfig"
    kubeconfig.write_text("{}")
    database = tmp_path / "x.db"
    variables = {
        "NATS_URL": "nats://127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1",
        "NEO4J_URI": "bolt://127.0.0.1:1",
        "VLLM_URL": "http://127.0.0.1:1",
        "LOKI_URL": "http://127.0.0.1:1",
        "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_KUBECONFIG": str(kubeconfig),
        "FLEET_EXPORTER_SERVICES_HTTP": "planner=http://127.0.0.1:1,workspace=http://127.0.0.1:2",
        "FLEET_EXPORTER_COSTS_DATABASE": str(database),
        "FLEET_EXPORTER_BROKER_DATABASE": str(database),
        "FLEET_EXPORTER_TASKBOARD_ROOT": str(tmp_path),
    }
    with exporter(variables=variables) as running:
        rows = httpx.get(f"{running.url}/api/sources").json()
        page = httpx.get(running.url).text

    assert len(rows) == 12
    assert {row["source"]: row["location"] for row in rows if not row["server"]} == {
        "rayjob": "Kubernetes API (fleet.kubeconfig)",
        "workloads": "Kubernetes API (fleet.kubeconfig)",
        "services": "planner, workspace",
    }
    assert '<td class="where"></td>' not in page


@pytest.mark.parametrize(("scheme", "brightness"), [("light", "light"), ("dark", "dark")])
def test_the_documentation_follows_the_color_scheme(
    browser: Browser, bus: str, scheme: Literal["light", "dark"], brightness: str
) -> None:
    with exporter(variables={"NATS_URL": bus}) as running:
        shown = browser.new_page(color_scheme=scheme)
        problems: list[str] = []
        shown.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        shown.goto(f"{running.url}/docs", timeout=120_000)
        shown.locator("[data-path='/api/events/stream']").first.wait_for()
        background = shown.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        shown.close()

    channels = [int(number) for number in re.findall(r"\d+", background)[:3]]
    assert (sum(channels) / 3 < 80) == (brightness == "dark"), background
    assert problems == []
