"""vLLM, Loki and Kubernetes behind a faulty network: each fault has its reason, and the source recovers after it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from exporter.config.options import Address
from exporter.errors import Reason
from exporter.scrape import Scraper
from exporter.source import Source
from exporter.sources.loki import LokiForwarder, LokiOptions
from exporter.sources.rayjob import Rayjob, RayjobOptions
from exporter.sources.vllm import Vllm, VllmOptions
from servers import loki as loki_servers
from servers.kubernetes import Kubernetes
from servers.loki import Loki
from servers.nats import Nats
from servers.process import wait_for
from tests.sources.vllm_pages import CURRENT, serving
from tests.support.fault_proxy import ABORTING, REASONS, FaultProxy, Mode, fault_proxy
from tests.support.fleet_streams import fleet_on
from tests.support.pages import eventually, followed, page_showing
from tests.support.servers import required

HTTP_REASONS: Mapping[Mode, set[Reason]] = {mode: {reason} for mode, reason in REASONS.items()} | {
    # httpx does not report whether a part of the response's head had arrived.
    Mode.CUT: {Reason.MALFORMED, Reason.UNREACHABLE},
    # The head of a response in random bytes may have no end.
    Mode.GARBAGE: {Reason.MALFORMED, Reason.UNREACHABLE, Reason.TIMEOUT},
}
SECONDS = 1.0
"""Timeout of the sources."""


@pytest.fixture(scope="module")
def loki() -> Iterator[Loki]:
    with required():
        loki_servers.prepare()
    with loki_servers.start() as running:
        wait_for(running.answers_queries, what="Loki to answer queries")
        yield running


@contextlib.asynccontextmanager
async def scraped(source: Source) -> AsyncIterator[Scraper]:
    """Runs the source as the exporter does."""
    scraper = Scraper((source,))
    running = asyncio.create_task(scraper.run())
    try:
        yield scraper
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await scraper.close()


async def expect_reason_and_recovery(source: Source, proxy: FaultProxy, mode: Mode, reasons: set[Reason]) -> None:
    """Start the source during the fault, and end the fault once the source has reported it."""
    proxy.set(mode)
    async with scraped(source) as scraper:

        async def is_up() -> bool:
            await scraper.read(5)
            return scraper.states[0].up is True

        async def is_down() -> bool:
            await scraper.read(5)
            return scraper.states[0].reason in reasons

        await eventually(is_down)
        proxy.set(Mode.PASS)
        await eventually(is_up)
        if mode in ABORTING:
            proxy.set(mode)
            proxy.set(Mode.PASS)
            await eventually(is_up)


@pytest.mark.parametrize("mode", HTTP_REASONS)
async def test_faults_before_vllm(mode: Mode) -> None:
    with serving(CURRENT.encode()) as url, fault_proxy(url) as proxy:
        source = Vllm(VllmOptions(url=(Address(f"http://{proxy.address}"),), timeout=SECONDS))
        await expect_reason_and_recovery(source, proxy, mode, HTTP_REASONS[mode])


@pytest.mark.parametrize("mode", HTTP_REASONS)
async def test_faults_before_loki(server: Nats, loki: Loki, mode: Mode) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("FAULTS", "planning.>")
        await fleet.says("planning.story.created", story_id="US-1")
        with fault_proxy(loki.url) as proxy:
            given = {"nats_url": (Address(server.url),), "url": Address(f"http://{proxy.address}"), "timeout": SECONDS}
            source = LokiForwarder(LokiOptions.model_validate(given))
            await expect_reason_and_recovery(source, proxy, mode, HTTP_REASONS[mode])


@pytest.mark.parametrize("mode", HTTP_REASONS)
async def test_faults_before_kubernetes(kubernetes_server: Kubernetes, tmp_path: Path, mode: Mode) -> None:
    with fault_proxy(kubernetes_server.url) as proxy:
        behind = dataclasses.replace(kubernetes_server, url=f"https://{proxy.address}")
        kubeconfig = behind.write_kubeconfig(kubernetes_server.admin_token, tmp_path / "kubeconfig")
        source = Rayjob(RayjobOptions(kubeconfig=kubeconfig, timeout=SECONDS))
        await expect_reason_and_recovery(source, proxy, mode, HTTP_REASONS[mode])


async def test_the_counters_of_loki_go_on_after_a_lost_connection_to_nats(server: Nats, loki: Loki) -> None:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("COUNTED", "planning.>")
        await fleet.says("planning.story.created", story_id="US-1")
        with fault_proxy(server.url) as proxy:
            given = {"nats_url": (Address(f"nats://{proxy.address}"),), "url": Address(loki.url), "timeout": 5}
            source = LokiForwarder(LokiOptions.model_validate(given))
            async with followed(source):
                entries = 'fleet_exporter_loki_entries_total{stream="COUNTED"}'
                await page_showing(source, entries, 1)
                proxy.set(Mode.RESET)
                proxy.set(Mode.PASS)
                await fleet.says("planning.story.created", story_id="US-2")
                await page_showing(source, entries, 2)
