"""A stream of planning events on a NATS server of the test's own, and an exporter's reader that has caught up with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from servers.nats import Nats
from tests.support.fleet_streams import Fleet, Reader, fleet_on, reading


@pytest.fixture
async def fleet(server: Nats) -> AsyncIterator[Fleet]:
    async with fleet_on(server.url) as fleet:
        await fleet.stream("PLANNING_EVENTS", "planning.>")
        yield fleet


@pytest.fixture
async def reader(server: Nats, fleet: Fleet) -> AsyncIterator[Reader]:
    async with reading(server.url) as reader:
        await reader.page()
        yield reader
