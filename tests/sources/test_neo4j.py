"""Neo4j Community: counts that never scan, patterns as far as the count store tells, and read-only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import neo4j
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.neo4j import Neo4j
from exporter.sources.neo4j.counts import ANY, OTHER, UNLABELED, Counts, Schema, capped, quoted
from servers import neo4j as neo4j_servers
from servers.neo4j import Neo4j as Server
from tests.support.pages import collected, samples_of, series
from tests.support.servers import required


def source(server: Server, **more: object) -> Neo4j:
    # A JVM that has just started compiles its first plans slowly.
    given = {"uri": Address(server.url), "password": SecretStr(server.password), "timeout": 60, **more}
    return Neo4j.model_validate(given)


@pytest.fixture(scope="module")
def neo4j_server() -> Iterator[Server]:
    """A server of its own: these tests count every node."""
    with required():
        neo4j_servers.prepare()
    with neo4j_servers.start() as server:
        yield server


@pytest.fixture(scope="module")
def session(neo4j_server: Server) -> Iterator[neo4j.Session]:
    auth = (neo4j_server.user, neo4j_server.password)
    with neo4j.GraphDatabase.driver(neo4j_server.url, auth=auth) as driver, driver.session() as session:
        session.run(
            "CREATE (p:Project) WITH p UNWIND range(1, 10) AS i "
            "CREATE (s:Story {i: i})-[:BELONGS_TO]->(p) CREATE (s)-[:HAS_TASK]->(t:Task) CREATE (:Plan)-[:HAS_TASK]->(t)"
        ).consume()
        session.run("MATCH (s:Story {i: 1}), (t:Task) CREATE (s)-[:RELATES_TO]->(t), (t)-[:RELATES_TO]->(s)").consume()
        session.run("CREATE (:`odd ``label``\u00e9`)").consume()
        yield session


def test_counts_by_label_type_and_pattern(neo4j_server: Server, session: neo4j.Session) -> None:
    page = collected(source(neo4j_server))

    def pattern(start: str, kind: str, end: str) -> float:
        return page[f'neo4j_pattern_relationships{{database="neo4j",start="{start}",type="{kind}",end="{end}"}}']

    assert page['neo4j_nodes{database="neo4j"}'] == 32
    assert page['neo4j_relationships{database="neo4j"}'] == 50
    assert page['neo4j_label_nodes{database="neo4j",label="Story"}'] == 10
    assert page['neo4j_label_nodes{database="neo4j",label="odd `label`\u00e9"}'] == 1
    assert page['neo4j_type_relationships{database="neo4j",type="HAS_TASK"}'] == 20
    assert pattern("Story", "BELONGS_TO", "Project") == 10
    assert pattern("Story", "HAS_TASK", "Task") == 10
    assert pattern("Plan", "HAS_TASK", "Task") == 10
    assert pattern("Story", "RELATES_TO", ANY) == 10
    assert pattern(ANY, "RELATES_TO", "Task") == 10
    assert page['neo4j_transactions{database="neo4j"}'] == 0
    assert any('edition="community"' in name for name in page)


def test_the_count_query_touches_the_count_store_alone(neo4j_server: Server, session: neo4j.Session) -> None:
    names = tuple(f"N{number}" for number in range(5))
    schema = Schema(names, names, tuple((name, name) for name in names), tuple((name, name) for name in names))
    plans = [session.run("EXPLAIN " + query).consume().plan for query in schema.queries]

    def operators(node: dict[str, Any]) -> Iterator[str]:
        yield str(node["operatorType"]).partition("@")[0]
        for child in node.get("children", []):
            yield from operators(child)

    assert {operator for plan in plans if plan is not None for operator in operators(plan)} == {
        "ProduceResults", "Projection", "Apply", "NodeCountFromCountStore", "RelationshipCountFromCountStore",
    }  # fmt: skip


def test_a_change_of_counts_is_dated(neo4j_server: Server, session: neo4j.Session) -> None:
    async def read() -> tuple[dict[str, float], dict[str, float]]:
        reader = source(neo4j_server)
        before = series(await reader.collect())
        await asyncio.to_thread(lambda: session.run("CREATE (:Brand:New)").consume())
        await reader.collect()
        after = series(await reader.collect())
        await reader.close()
        return before, after

    before, after = asyncio.run(read())

    assert 'neo4j_counts_changed_timestamp_seconds{database="neo4j"}' not in before
    assert after['neo4j_counts_changed_timestamp_seconds{database="neo4j"}'] > 0


def test_nodes_with_several_labels_and_without_any_are_in_the_patterns() -> None:
    with neo4j_servers.start() as server:
        auth = (server.user, server.password)
        with neo4j.GraphDatabase.driver(server.url, auth=auth) as driver, driver.session() as session:
            session.run("UNWIND range(1, 7) AS i CREATE (:Person:Employee)-[:KNOWS]->(:Person:Employee)").consume()
            session.run("UNWIND range(1, 3) AS i CREATE ()-[:POINTS_TO]->(:Company)").consume()

            async def read() -> tuple[dict[str, float], dict[str, float]]:
                reader = source(server)
                first = series(await samples_of(reader))
                await asyncio.to_thread(lambda: session.run("UNWIND range(1, 40) AS i CREATE (:Decision)").consume())
                second = series(await samples_of(reader))
                await reader.close()
                return first, second

            first, second = asyncio.run(read())

    def pattern(start: str, kind: str, end: str) -> float:
        return first[f'neo4j_pattern_relationships{{database="neo4j",start="{start}",type="{kind}",end="{end}"}}']

    labels = ("Person", "Employee")
    assert [pattern(start, "KNOWS", end) for start in labels for end in labels] == [7, 7, 7, 7]
    assert pattern(UNLABELED, "POINTS_TO", "Company") == 3
    assert second['neo4j_label_nodes{database="neo4j",label="Decision"}'] == 40  # new, and counted at once


def test_caps_keep_the_largest_and_sum_the_rest(neo4j_server: Server, session: neo4j.Session) -> None:
    page = collected(source(neo4j_server, max_labels=1, max_types=1))
    labels = {name: value for name, value in page.items() if name.startswith("neo4j_label_nodes")}

    assert len(labels) == 2
    assert f'neo4j_label_nodes{{database="neo4j",label="{OTHER}"}}' in labels


def test_an_empty_database_is_zero_and_not_unread() -> None:
    with neo4j_servers.start() as server:
        page = collected(source(server))

    assert page['neo4j_nodes{database="neo4j"}'] == 0
    assert page['neo4j_relationships{database="neo4j"}'] == 0
    assert page['neo4j_labels{database="neo4j"}'] == 0


def test_it_cannot_write(neo4j_server: Server) -> None:
    async def write() -> None:
        reader = source(neo4j_server)
        try:
            await reader._query("CREATE (:Mistake)")
        finally:
            await reader.close()

    with pytest.raises(neo4j.exceptions.ClientError, match="read access mode"):
        asyncio.run(write())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"password": SecretStr("wrong")}, Reason.UNAUTHORIZED), ({"database": "absent"}, Reason.MALFORMED)],
)
def test_what_is_refused_has_its_reason(neo4j_server: Server, changed: dict[str, object], reason: Reason) -> None:
    with pytest.raises(SourceError) as caught:
        collected(source(neo4j_server, **changed))

    assert caught.value.reason is reason


@given(st.text(min_size=1))
def test_a_name_cannot_leave_its_quotes(name: str) -> None:
    inside = quoted(name)[1:-1]

    assert inside.replace("``", "").count("`") == 0
    assert inside.replace("``", "`") == name


def test_patterns_that_only_one_side_tells() -> None:
    schema = Schema(("A", "B"), ("T",), (("A", "T"), ("B", "T")), (("T", "A"), ("T", "B")))
    counts = Counts.of(schema, [4, 3, 2, 2, 3, 2, 1, 1, 2])

    assert counts.patterns() == {("A", "T", ANY): 2, ("B", "T", ANY): 1, (ANY, "T", "A"): 1, (ANY, "T", "B"): 2}


@given(st.dictionaries(st.text(), st.integers(min_value=0)), st.integers(min_value=1, max_value=10))
def test_a_cap_loses_no_count(counts: dict[str, int], limit: int) -> None:
    counts.pop(OTHER, None)

    assert sum(capped(counts, limit).values()) == sum(counts.values())
    assert len(capped(counts, limit)) <= limit + 1
