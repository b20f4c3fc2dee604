"""A task that reads NATS ends when it is cancelled, whatever it is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from exporter.config.address import Address
from exporter.scrape import Scraper
from exporter.source import Source
from exporter.sources.fleet import FleetEvents, FleetOptions
from exporter.sources.loki import LokiForwarder, LokiOptions
from servers.process import free_port

STEPS = 60
"""Iterations of the event loop, more than a refused connection takes."""


def fleet(nats: Address) -> Source:
    return FleetEvents(FleetOptions(url=(nats,)))


def loki(nats: Address) -> Source:
    return LokiForwarder(LokiOptions(url=Address("http://127.0.0.1:1"), nats_url=(nats,)))


@pytest.mark.parametrize("source", [fleet, loki])
async def test_it_ends_when_it_is_cancelled_at_any_step(source: Callable[[Address], Source]) -> None:
    """Python 3.11 loses a cancellation that arrives together with the result that is awaited."""
    unused = Address(f"nats://127.0.0.1:{free_port()}")
    for steps in range(STEPS):
        running = asyncio.create_task(Scraper([source(unused)]).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=20)
        assert running.cancelled(), f"cancelled after {steps} iterations, it continues"
