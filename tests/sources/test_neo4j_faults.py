"""Neo4j behind a faulty network: each fault has its reason, and the next collection after it succeeds."""

from __future__ import annotations

import pytest

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.scrape import Scraper
from exporter.sources.neo4j import MAX_ITEMS, MAX_ROWS, Neo4j, Neo4jOptions
from servers.neo4j import RunningNeo4j
from tests.support.fault_proxy import Mode, fault_proxy
from tests.support.pages import eventually

pytestmark = pytest.mark.slow

REASONS = {
    Mode.REFUSE: {Reason.UNREACHABLE},
    Mode.RESET: {Reason.UNREACHABLE},
    Mode.CLOSE: {Reason.UNREACHABLE, Reason.MALFORMED},  # the driver does not say whether a byte had arrived
    Mode.HANG: {Reason.TIMEOUT},
    Mode.SLOW: {Reason.TIMEOUT},
    Mode.CUT: {Reason.MALFORMED, Reason.UNREACHABLE},
    Mode.GARBAGE: {Reason.MALFORMED, Reason.TIMEOUT},  # it may announce a chunk that never comes
}


@pytest.mark.parametrize("mode", REASONS)
async def test_each_fault_has_its_reason_and_times_out(neo4j_server: RunningNeo4j, mode: Mode) -> None:
    with fault_proxy(neo4j_server.url) as proxy:
        options = {
            "uri": Address(f"bolt://{proxy.address}"),
            "user": neo4j_server.user,
            "password": neo4j_server.password,
            "timeout": 2.0,
        }
        scraper = Scraper((Neo4j(Neo4jOptions.model_validate(options)),))

        async def is_up() -> bool:
            await scraper.read(5)
            return scraper.states[0].up is True

        async def is_down() -> bool:
            return not await is_up()

        await eventually(is_up)
        proxy.set(mode)
        await eventually(is_down)
        reason = scraper.states[0].reason
        proxy.set(Mode.PASS)
        await eventually(is_up)
        await scraper.close()

    assert reason in REASONS[mode]


@pytest.mark.parametrize(
    "query",
    [f"UNWIND range(0, {MAX_ROWS}) AS row RETURN row", f"RETURN range(0, {MAX_ITEMS}) AS items"],
    ids=["rows", "items"],
)
async def test_a_reply_without_a_bound_is_malformed(neo4j_server: RunningNeo4j, query: str) -> None:
    options = {"uri": Address(neo4j_server.url), "user": neo4j_server.user, "password": neo4j_server.password}
    (database,) = Neo4j(Neo4jOptions.model_validate(options)).targets()
    try:
        with pytest.raises(SourceError, match=f"at most {MAX_ROWS} rows with {MAX_ITEMS}") as raised:
            await database.query(query)
    finally:
        await database.close()

    assert raised.value.reason is Reason.MALFORMED
