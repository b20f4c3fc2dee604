"""Neo4j: Community has no roles, so the exporter uses read mode; the role for Enterprise is only parsed here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import neo4j
import pytest
from neo4j.exceptions import ClientError, Neo4jError
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.sources.neo4j import Neo4j, Neo4jOptions
from servers.neo4j import RunningNeo4j
from tests.privileges.documented import block
from tests.support.pages import collected

PASSWORD = "change-me-now"
COMMUNITY_ONLY = "Neo.ClientError.Statement.UnsupportedAdministrationCommand"


def statements(name: str) -> list[str]:
    return [text.strip() for text in block(name).split(";") if text.strip()]


@pytest.fixture(scope="module")
def administrator(neo4j_server: RunningNeo4j) -> Iterator[neo4j.Driver]:
    """A server with the documented user, which is removed afterwards."""
    auth = (neo4j_server.user, neo4j_server.password)
    with neo4j.GraphDatabase.driver(neo4j_server.url, auth=auth) as driver:
        for text in statements("neo4j-community"):
            driver.execute_query(text, database_="system")
        yield driver
        driver.execute_query("DROP USER fleet_exporter", database_="system")


def source(server: RunningNeo4j) -> Neo4j:
    given = {"uri": Address(server.url), "user": "fleet_exporter", "password": SecretStr(PASSWORD)}
    return Neo4j(Neo4jOptions.model_validate(given))


async def test_the_documented_user_reads_everything_required(
    neo4j_server: RunningNeo4j, administrator: neo4j.Driver
) -> None:
    administrator.execute_query("CREATE (:Privilege)-[:OF]->(:Privilege)")
    page = await collected(source(neo4j_server))
    administrator.execute_query("MATCH (n:Privilege) DETACH DELETE n")

    assert page['neo4j_label_nodes{database="neo4j",label="Privilege"}'] >= 2
    assert page['neo4j_transactions{database="neo4j"}'] >= 0


@pytest.mark.parametrize(
    "write",
    ["CREATE (:Mistake)", "MATCH (n) DETACH DELETE n", "MATCH (n) SET n.x = 1", "CREATE INDEX mistake FOR (n:A) ON (n.b)",
     "CALL db.createLabel('Mistake')"],
)  # fmt: skip
async def test_queries_of_the_exporter_cannot_write(
    neo4j_server: RunningNeo4j, administrator: neo4j.Driver, write: str
) -> None:
    async def main() -> None:
        [reader] = source(neo4j_server).targets()
        try:
            await reader.query(write)
        finally:
            await reader.close()

    def counted() -> object:
        counts = "MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN count(DISTINCT n) AS nodes, count(r) AS relationships"
        return [administrator.execute_query(text).records for text in (counts, "SHOW INDEXES YIELD name")]

    before = counted()
    with pytest.raises(ClientError, match=r"read access mode|not allowed in read|[Ww]riting in read"):
        await main()
    assert counted() == before


def test_on_community_the_user_itself_could_write(neo4j_server: RunningNeo4j, administrator: neo4j.Driver) -> None:
    """As documented: only the exporter's read mode prevents writes."""
    with neo4j.GraphDatabase.driver(neo4j_server.url, auth=("fleet_exporter", PASSWORD)) as driver:
        summary = driver.execute_query("CREATE (n:Mistake) DELETE n").summary

    assert summary.counters.nodes_created == 1


@pytest.mark.parametrize("text", statements("neo4j-enterprise"))
def test_the_statements_for_enterprise_have_valid_syntax(administrator: neo4j.Driver, text: str) -> None:
    with pytest.raises(Neo4jError) as refusal:
        administrator.execute_query(text, database_="system")
    assert refusal.value.code == COMMUNITY_ONLY

    with pytest.raises(Neo4jError) as misspelt:
        administrator.execute_query(re.sub(r"^\w+", "GRUNT", text), database_="system")
    assert misspelt.value.code == "Neo.ClientError.Statement.SyntaxError"
