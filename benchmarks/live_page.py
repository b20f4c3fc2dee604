"""The page at `/` with 1,000 agents in a headless Chromium: its frames while it is scrolled and events arrive."""

from __future__ import annotations

import asyncio
import itertools
import json
from statistics import median

import nats as nats_client
from nats.aio.client import Client
from playwright.async_api import CDPSession, Page, async_playwright, expect

from benchmarks.figure import Figure
from servers import chromium, nats
from tests.support.process import exporter

_AGENTS, _ROLES = 1000, ("DEV", "QA", "ARCHITECT", "DEVOPS", "DATA")
_PER_SECOND = 20
_SECONDS = 5
_ROUNDS = 3
_FRAME = 1000 / 60
"""Milliseconds."""
_SCROLL = """async (seconds) => {
  const times = [];
  const began = performance.now();
  const most = document.documentElement.scrollHeight - innerHeight;
  for (let now = began; now < began + 1000 * seconds; ) {
    now = await new Promise(requestAnimationFrame);
    times.push(now);
    const place = ((now - began) / 1000 / seconds) * 2;
    scrollTo(0, most * (place < 1 ? place : 2 - place));
  }
  return times;
}"""
"""Down to the end and up again."""


async def _publish(bus: Client, number: int) -> None:
    role = _ROLES[number % len(_ROLES)]
    agent = f"agent-{role.lower()}-{number % _AGENTS // len(_ROLES):03}"
    body = {"agent_id": agent, "role": role, "task_id": f"T-{number}", "duration_ms": 2300}
    await bus.publish("agent.response.completed", json.dumps(body).encode())


async def _intervals(page: Page, bus: Client) -> list[float]:
    """Milliseconds between frames while the page is scrolled."""

    async def arrive() -> None:
        for number in itertools.count():
            await _publish(bus, number)
            await asyncio.sleep(1 / _PER_SECOND)

    arriving = asyncio.create_task(arrive())
    try:
        times = await page.evaluate(_SCROLL, _SECONDS)
    finally:
        arriving.cancel()
        await asyncio.gather(arriving, return_exceptions=True)
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def _busy_seconds(session: CDPSession) -> float:
    """CPU seconds of the page's main thread, which other processes of a busy machine do not change."""
    found = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


async def _measure(url: str, bus_url: str) -> Figure:
    bus = await nats_client.connect(bus_url)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.prepare(), args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        for number in range(_AGENTS):
            await _publish(bus, number)
        await bus.flush()
        await page.goto(url)
        await expect(page.locator(".council li")).to_have_count(_AGENTS, timeout=60_000)
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = await _busy_seconds(session)
        rounds = [await _intervals(page, bus) for _ in range(_ROUNDS)]
        busy = (await _busy_seconds(session) - before) / (_ROUNDS * _SECONDS)
        await browser.close()
    await bus.close()
    rates = [1000 * len(one) / sum(one) for one in rounds]
    late = [sum(interval > 1.5 * _FRAME for interval in one) / len(one) for one in rounds]
    return Figure(
        f"scrolling the live page, {_AGENTS:,} agents and {_PER_SECOND} events/s",
        f"{median(rates):.0f} frames per second, {100 * median(late):.1f}% of them late",
        "≥ 59 frames per second",
        median(rates) >= 59,
        f"main thread {busy:.0%} busy; longest frame {max(map(max, rounds)):.0f} ms",
    )


async def _streams(url: str) -> None:
    client = await nats_client.connect(url)
    await client.jetstream().add_stream(name="AGENT_RESPONSES", subjects=["agent.response.>"], storage="memory")
    await client.close()


def figures() -> list[Figure]:
    with nats.start() as bus:
        asyncio.run(_streams(bus.url))
        with exporter(f"--fleet.max-agents={_AGENTS}", variables={"NATS_URL": bus.url}) as running:
            return [asyncio.run(_measure(running.url, bus.url))]
