"""A NATS server with a clock that is wrong by a day: its events are current, so their agents do not expire."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from exporter.config.options import Address
from exporter.sources.fleet import FleetEvents, FleetOptions
from servers.nats import Nats
from tests.support.fault_proxy import fault_proxy
from tests.support.fleet_streams import fleet_on
from tests.support.pages import followed, page_where

_STORED = re.compile(rb"(\$JS\.ACK\.\S+?\.)(\d{19})(\.\d+)")
_ANSWERED = re.compile(rb'("ts":")(\d{4}-\d\d-\d\d)(T)')


def clock_ahead(days: int) -> Callable[[bytes], bytes]:
    """Changes the server's times in deliveries and in replies about streams; lengths stay."""
    nanoseconds = days * 86_400 * 1_000_000_000

    def rewrite(data: bytes) -> bytes:
        data = _STORED.sub(lambda found: found[1] + str(int(found[2]) + nanoseconds).encode() + found[3], data)

        def shifted(found: re.Match[bytes]) -> bytes:
            day = date.fromisoformat(found[2].decode()) + timedelta(days=days)
            return found[1] + day.isoformat().encode() + found[3]

        return _ANSWERED.sub(shifted, data)

    return rewrite


@pytest.mark.parametrize("days", [-1, 1])
async def test_live_events_of_a_server_with_a_wrong_clock_are_current(server: Nats, days: int) -> None:
    with fault_proxy(server.url, rewrite=clock_ahead(days)) as proxy:
        source = FleetEvents(FleetOptions(url=(Address(f"nats://{proxy.address}"),)))
        async with fleet_on(server.url) as fleet, followed(source):
            await fleet.stream("AGENTS", "agent.>")
            await source.wait_synced()
            await fleet.says("agent.response.completed", task_id="T", agent_id="agent-dev-1", role="DEV", num_agents=1)
            page = await page_where(source, lambda page: 'fleet_agents{system="fleet",role="DEV",state="completed"}' in page)

            assert page['fleet_agents{system="fleet",role="DEV",state="completed"}'] == 1
            [agent] = source.fleet.agents.known
            assert abs(agent.seen - agent.since) < 60
