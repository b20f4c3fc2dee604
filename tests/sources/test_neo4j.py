"""Neo4j Community: counts that never scan, patterns as far as the count store has them, and read-only."""

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
from exporter.metrics.metric import OTHER
from exporter.settings import SettingsError, load
from exporter.sources.neo4j import Neo4j, Neo4jDatabase, Neo4jOptions
from exporter.sources.neo4j.counts import ANY, UNLABELED, PatternCounts, largest
from exporter.sources.neo4j.failures import reason_of_code
from exporter.sources.neo4j.schema import Schema, quoted
from servers import neo4j as neo4j_servers
from servers.neo4j import RunningNeo4j
from tests.support.pages import collected, series
from tests.support.servers import required

pytestmark = pytest.mark.slow


def source(server: RunningNeo4j, **more: object) -> Neo4j:
    # A JVM that has just started compiles its first plans slowly.
    given = {"uri": Address(server.url), "password": SecretStr(server.password), "timeout": 60, **more}
    return Neo4j(Neo4jOptions.model_validate(given))


def database(server: RunningNeo4j, **more: object) -> Neo4jDatabase:
    [target] = source(server, **more).targets()
    return target


@pytest.fixture(scope="module")
def neo4j_server() -> Iterator[RunningNeo4j]:
    """A separate server, because these tests count all nodes."""
    with required():
        neo4j_servers.prepare()
    with neo4j_servers.start() as server:
        yield server


@pytest.fixture(scope="module")
def session(neo4j_server: RunningNeo4j) -> Iterator[neo4j.Session]:
    auth = (neo4j_server.user, neo4j_server.password)
    with neo4j.GraphDatabase.driver(neo4j_server.url, auth=auth) as driver, driver.session() as session:
        session.run(
            "CREATE (p:Project) WITH p UNWIND range(1, 10) AS i "
            "CREATE (s:Story {i: i})-[:BELONGS_TO]->(p) CREATE (s)-[:HAS_TASK]->(t:Task) CREATE (:Plan)-[:HAS_TASK]->(t)"
        ).consume()
        session.run("MATCH (s:Story {i: 1}), (t:Task) CREATE (s)-[:RELATES_TO]->(t), (t)-[:RELATES_TO]->(s)").consume()
        session.run("CREATE (:`odd ``label``\u00e9`)").consume()
        yield session


async def test_counts_by_label_type_and_pattern(neo4j_server: RunningNeo4j, session: neo4j.Session) -> None:
    page = await collected(source(neo4j_server))

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


def test_the_count_query_uses_only_the_count_store(neo4j_server: RunningNeo4j, session: neo4j.Session) -> None:
    names = tuple(f"N{number}" for number in range(5))
    ends = [pattern for name in names for pattern in ((name, name, ""), ("", name, name))]
    schema = Schema((*((name, "", "") for name in names), *(("", name, "") for name in names), *ends))
    plans = [session.run("EXPLAIN " + query).consume().plan for query in schema.queries]

    def operators(node: dict[str, Any]) -> Iterator[str]:
        yield str(node["operatorType"]).partition("@")[0]
        for child in node.get("children", []):
            yield from operators(child)

    assert {operator for plan in plans if plan is not None for operator in operators(plan)} == {
        "ProduceResults", "Projection", "Apply", "NodeCountFromCountStore", "RelationshipCountFromCountStore",
    }  # fmt: skip


def test_a_query_has_few_counts_and_new_patterns_leave_full_queries_as_they_are() -> None:
    """A plan is compiled for each new text, in a time that grows faster than the number of its counts."""

    def row(labels: list[str]) -> dict[str, Any]:
        return {"labels": labels, "types": [], "nodes": [], "relationships": []}

    labels = [f"N{number}" for number in range(56)]
    before = Schema.of(row(labels), limit=100)
    after = Schema.of(row([*labels, "A"]), limit=100, known=before)

    assert max(query.count("COUNT {") for query in before.queries) <= 12
    assert after.queries[:4] == before.queries[:4]
    assert after.labels == {*labels, "A"}


async def test_a_change_of_counts_sets_its_timestamp(neo4j_server: RunningNeo4j, session: neo4j.Session) -> None:
    reader = database(neo4j_server)
    before = await reader.collect()
    await asyncio.to_thread(lambda: session.run("CREATE (:Brand:New)").consume())
    after = await reader.collect()
    await reader.close()

    assert before.last_change is None
    assert after.last_change is not None


GRAPH = """
UNWIND range(1, 7) AS i CREATE (:Person:Employee)-[:KNOWS]->(:Person:Employee)
UNWIND range(1, 3) AS i CREATE ()-[:POINTS_TO]->(:Company)
CREATE ()-[:BARE]->()
"""
PATTERN_COUNTS = """
MATCH (a)-[r]->(b) WITH CASE labels(a) WHEN [] THEN [$none] ELSE labels(a) END AS starts, type(r) AS type,
CASE labels(b) WHEN [] THEN [$none] ELSE labels(b) END AS ends UNWIND starts AS start UNWIND ends AS end
RETURN start, type, end, count(*) AS count
"""


STATISTICS = "CALL db.stats.retrieve('GRAPH COUNTS') YIELD data RETURN count(data)"


def refusal(session: neo4j.Session, text: str) -> str | None:
    """The status code with which the server refuses a query."""
    try:
        session.run(text).consume()
    except neo4j.exceptions.ClientError as error:
        return error.code
    return None


@pytest.mark.parametrize("without", [(), ("db.stats.retrieve",)], ids=["db.stats.retrieve", "count subqueries"])
async def test_patterns_are_exact_and_new_ones_are_seen_at_once(without: tuple[str, ...]) -> None:
    """Nodes with several labels and with none, a new label, a new type, and new ends of a known type."""
    with neo4j_servers.start(without=without) as server:
        auth = (server.user, server.password)
        with neo4j.GraphDatabase.driver(server.url, auth=auth) as driver, driver.session() as session:
            assert refusal(session, STATISTICS) == ("Neo.ClientError.Procedure.ProcedureNotFound" if without else None)

            def change(text: str) -> dict[tuple[str, str, str], int]:
                for line in filter(None, text.split("\n")):
                    session.run(line).consume()
                rows = session.run(PATTERN_COUNTS, none=UNLABELED)
                return {(row["start"], row["type"], row["end"]): row["count"] for row in rows}

            reader = database(server, schema_refresh_interval=86400)
            found = []
            for text in (
                GRAPH,
                "UNWIND range(1, 40) AS i CREATE (:Decision)",
                "MATCH (d:Decision) CREATE (d)-[:FOLLOWS]->(d)",
                "MATCH (d:Decision), (c:Company) WITH d, c LIMIT 2 CREATE (d)-[:POINTS_TO]->(c)",
            ):
                expected = await asyncio.to_thread(change, text)
                found.append((expected, (await reader.collect()).counts))
            await reader.close()

    assert [dict(counts.patterns) for _, counts in found] == [expected for expected, _ in found]
    assert found[0][1].patterns["Employee", "KNOWS", "Person"] == 7
    assert found[0][1].patterns[UNLABELED, "BARE", UNLABELED] == 1
    assert found[1][1].labels["Decision"] == 40


async def test_each_database_is_a_separate_target(neo4j_server: RunningNeo4j, session: neo4j.Session) -> None:
    """Community has one database that can be counted, so the other one is missing."""
    present, absent = source(neo4j_server, databases="Neo4j,archive").targets()
    assert (present.server, absent.server) == (
        f"127.0.0.1:{neo4j_server.port}/neo4j",
        f"127.0.0.1:{neo4j_server.port}/archive",
    )
    page = series(present.samples(await present.collect()))
    assert page['neo4j_nodes{database="neo4j"}'] > 0
    [named] = [name for name in page if name.startswith("neo4j_info{")]
    assert f'server="{present.server}"' in named  # as on fleet_exporter_source_up, to join them
    with pytest.raises(SourceError) as caught:
        await absent.collect()
    assert caught.value.reason is Reason.CONFIG
    for target in (present, absent):
        await target.close()


@pytest.mark.parametrize("databases", ["a,A", "neo4j,system", ""])
def test_duplicate_or_invalid_databases_are_refused(databases: str) -> None:
    with pytest.raises(SettingsError, match=r"neo4j\.databases"):
        load({"neo4j.uri": "bolt://x", "neo4j.databases": databases}, {})


async def test_limits_keep_the_largest_and_sum_the_rest(neo4j_server: RunningNeo4j, session: neo4j.Session) -> None:
    page = await collected(source(neo4j_server, max_labels=1, max_types=1))
    labels = {name: value for name, value in page.items() if name.startswith("neo4j_label_nodes")}

    assert len(labels) == 2
    assert f'neo4j_label_nodes{{database="neo4j",label="{OTHER}"}}' in labels


async def test_an_empty_database_is_zero_and_up() -> None:
    with neo4j_servers.start() as server:
        page = await collected(source(server))

    assert page['neo4j_nodes{database="neo4j"}'] == 0
    assert page['neo4j_relationships{database="neo4j"}'] == 0
    assert page['neo4j_labels{database="neo4j"}'] == 0


async def test_it_cannot_write(neo4j_server: RunningNeo4j) -> None:
    async def write() -> None:
        reader = database(neo4j_server)
        try:
            await reader.query("CREATE (:Mistake)")
        finally:
            await reader.close()

    with pytest.raises(neo4j.exceptions.ClientError, match="read access mode"):
        await write()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"password": SecretStr("wrong")}, Reason.UNAUTHORIZED), ({"databases": ("absent",)}, Reason.CONFIG)],
)
async def test_a_failed_connection_has_its_reason(
    neo4j_server: RunningNeo4j, changed: dict[str, object], reason: Reason
) -> None:
    with pytest.raises(SourceError) as caught:
        await collected(source(neo4j_server, **changed))

    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("Neo.ClientError.Security.AuthenticationRateLimit", Reason.UNAUTHORIZED),
        ("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration", Reason.TIMEOUT),
        ("Neo.TransientError.Transaction.Terminated", Reason.TIMEOUT),
        ("Neo.TransientError.General.DatabaseUnavailable", Reason.UNREACHABLE),
        ("Neo.ClientError.Statement.SyntaxError", Reason.MALFORMED),
    ],
)
def test_the_reason_follows_the_status_code(code: str, reason: Reason) -> None:
    assert reason_of_code(code) is reason


@given(st.text(min_size=1))
def test_names_are_quoted_in_queries(name: str) -> None:
    inside = quoted(name)[1:-1]

    assert inside.replace("``", "").count("`") == 0
    assert inside.replace("``", "`") == name


def test_patterns_known_from_one_side_only() -> None:
    ends = (("A", "T", ""), ("B", "T", ""), ("", "T", "A"), ("", "T", "B"))
    schema = Schema((("A", "", ""), ("B", "", ""), ("", "T", ""), *ends))
    counts = PatternCounts.of_queries(schema, [4, 3, 2, 2, 3, 2, 1, 1, 2])

    assert counts.pairs() == {("A", "T", ANY): 2, ("B", "T", ANY): 1, (ANY, "T", "A"): 1, (ANY, "T", "B"): 2}


@given(st.dictionaries(st.text(), st.integers(min_value=0)), st.integers(min_value=1, max_value=10))
def test_a_limit_loses_no_count(counts: dict[str, int], limit: int) -> None:
    counts.pop(OTHER, None)

    assert sum(largest(counts, limit, OTHER).values()) == sum(counts.values())
    assert len(largest(counts, limit, OTHER)) <= limit + 1
