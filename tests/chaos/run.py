"""One run: backends, proxies and an exporter; faults by schedule; a scrape per second, each checked."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx

from tests.chaos.backends import BACKENDS, Backend
from tests.chaos.hostility import HostileClients, harassing, publishing
from tests.chaos.invariants import Broken, Pages, open_files
from tests.chaos.schedule import RECOVERY, Fault, schedule
from tests.support.fault_proxy import FaultProxy, Mode, fault_proxy
from tests.support.process import exporter

SCRAPE_SECONDS = 10.0
"""Prometheus's default timeout, sent with every scrape: no page may take longer."""

_SOURCE_SECONDS = 2
"""Timeout of the sources."""

_PAGES_DOWN = 4
"""Pages in a row on which a source may be down although its backend responds: a busy machine makes it late."""

_PAGES_UNRECOVERED = 2
"""As `_PAGES_DOWN`, before a source is up again after a fault: one page whose collection a busy machine makes late, and the
next one, which waits only RETRY_GRACE for a source that was late."""

_QUIET_PAGES = 5
_FILES_SECONDS = 30.0
"""Within this time after the last fault, the exporter has as many open file descriptors as before the first one."""

_POOLED_FILES = 10
"""Connections that clients keep in their pools after they were used at the same time; a leak grows with the faults."""


async def chaos(
    chosen: random.Random, seed: int, seconds: float, names: Sequence[str], *, say: Callable[[str], object]
) -> int:
    """The number of pages, all of which were right. Raises Broken."""
    with ExitStack() as stack:
        backends = {name: stack.enter_context(BACKENDS[name]()) for name in names}
        proxies = {name: stack.enter_context(fault_proxy(one.url, seed=seed)) for name, one in backends.items()}
        variables = {
            variable: text
            for name, one in backends.items()
            for variable, text in one.variables(proxies[name].address).items()
        }
        timeouts = [f"--{kind}.timeout={_SOURCE_SECONDS}" for one in backends.values() for kind in one.sources]
        process = stack.enter_context(exporter(*timeouts, variables=variables))
        for proxy in proxies.values():
            stack.callback(proxy.set, Mode.PASS)
        faults = schedule(seed, seconds, names)
        say(f"seed {seed}, {seconds:g} s, {len(faults)} faults:")
        for fault in faults:
            say(f"  {fault}")
        return await _injecting(chosen, seconds, process.url, backends, proxies, faults)


async def _injecting(
    chosen: random.Random,
    seconds: float,
    url: str,
    backends: Mapping[str, Backend],
    proxies: Mapping[str, FaultProxy],
    faults: Sequence[Fault],
) -> int:
    address = urlsplit(url)
    clients = HostileClients(address.hostname or "", address.port or 0, chosen)
    noise = [asyncio.create_task(publishing(backends["nats"].url, chosen, 30.0))] if "nats" in backends else []
    try:
        async with httpx.AsyncClient(timeout=30) as client:
            await _until_up(client, url, backends)
            files = max([open_files(await _page(client, url, 0.0)) for _ in range(_QUIET_PAGES)])
            noise.append(asyncio.create_task(harassing(clients, 10.0)))
            pages = await _scraping(client, url, faults, seconds, backends, proxies)
            await _end(noise)
            await clients.close()
            for proxy in proxies.values():
                await asyncio.to_thread(proxy.set, Mode.PASS)
            await _until_up(client, url, backends)
            await _until_files(client, url, files + _POOLED_FILES)
            return pages
    finally:
        await _end(noise)
        await clients.close()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _scraping(
    client: httpx.AsyncClient,
    url: str,
    faults: Sequence[Fault],
    seconds: float,
    backends: Mapping[str, Backend],
    proxies: Mapping[str, FaultProxy],
) -> int:
    pages = Pages(allowed_down=_PAGES_DOWN, allowed_unrecovered=_PAGES_UNRECOVERED)
    began = time.monotonic()
    injected: dict[str, Mode] = dict.fromkeys(backends, Mode.PASS)
    while (now := time.monotonic() - began) < seconds:
        for name, proxy in proxies.items():
            mode = next((one.mode for one in faults if one.backend == name and one.start <= now < one.end), Mode.PASS)
            if mode is not injected[name]:
                await asyncio.to_thread(proxy.set, mode)
                injected[name] = mode
        healthy = {
            kind
            for name, one in backends.items()
            if not any(fault.backend == name and fault.start <= now < fault.end + RECOVERY for fault in faults)
            for kind in one.sources
        }
        faulty = {kind for name, mode in injected.items() if mode is not Mode.PASS for kind in backends[name].sources}
        try:
            pages.check(await _page(client, url, now), healthy, faulty)
        except Broken as broken:
            raise Broken(f"at {now:.1f} s: {broken}") from None
        with contextlib.suppress(TimeoutError):
            await asyncio.sleep(max(began + now + 1 - time.monotonic(), 0.05))
    return pages.seen


async def _until_up(client: httpx.AsyncClient, url: str, backends: Mapping[str, Backend]) -> None:
    wanted = {kind for one in backends.values() for kind in one.sources}
    async with asyncio.timeout(60):
        while True:
            text = (await client.get(f"{url}/metrics")).text
            up = {kind for kind in wanted if _is_up(text, kind)}
            if up == wanted:
                return
            await asyncio.sleep(0.5)


async def _until_files(client: httpx.AsyncClient, url: str, most: float) -> None:
    """Return when the exporter has at most so many open file descriptors. Raises Broken if it keeps more."""
    files = math.inf
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FILES_SECONDS):
            while True:
                files = open_files((await client.get(f"{url}/metrics")).text)
                if files <= most:
                    return
                await asyncio.sleep(0.5)
    raise Broken(f"{files:g} file descriptors are open after the faults: expected at most {most:g}")


def _is_up(text: str, kind: str) -> bool:
    start = f'fleet_exporter_source_up{{source="{kind}"'
    return any(line.startswith(start) and line.endswith(" 1") for line in text.splitlines())


async def _page(client: httpx.AsyncClient, url: str, now: float) -> str:
    started = time.monotonic()
    response = await client.get(f"{url}/metrics", headers={"x-prometheus-scrape-timeout-seconds": str(SCRAPE_SECONDS)})
    took = time.monotonic() - started
    if response.status_code != 200:
        raise Broken(f"the page has status {response.status_code}")
    if took > SCRAPE_SECONDS:
        raise Broken(f"the page took {took:.2f} s")
    return response.text
