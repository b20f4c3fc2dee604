"""50 labels and 100 types: the queries of a collection."""

from __future__ import annotations

import asyncio
from typing import Any

import neo4j
from pydantic import SecretStr

from benchmarks.figure import Figure, awaited_median
from exporter.config.options import Address
from exporter.sources.neo4j import Neo4jDatabase, Neo4jOptions
from servers import neo4j as servers


class _Counting(Neo4jDatabase):
    """The target with a query counter; one query is one round trip of RUN and PULL."""

    async def query(self, text: str, **parameters: Any) -> list[neo4j.Record]:
        queries.append(text)
        return await super().query(text, **parameters)


queries: list[str] = []


async def _measure(server: servers.RunningNeo4j) -> tuple[int, int, float]:
    options = Neo4jOptions(uri=Address(server.url), password=SecretStr(server.password))
    source = _Counting(options, "neo4j")
    await source.collect()
    first = len(queries)
    queries.clear()
    await source.collect()
    later = len(queries)
    took = await awaited_median(source.collect)
    await source.close()
    return first, later, took


def figures() -> list[Figure]:
    with servers.start() as server:
        auth = (server.user, server.password)
        with neo4j.GraphDatabase.driver(server.url, auth=auth) as driver, driver.session() as session:
            for number in range(50):
                session.run(f"UNWIND range(1, 20) AS i CREATE (:L{number} {{i: i}})").consume()
            for number in range(100):
                text = f"MATCH (a:L{number % 50} {{i: 1}}), (b:L{number * 7 % 50} {{i: 1}}) CREATE (a)-[:T{number}]->(b)"
                session.run(text).consume()
        first, later, took = asyncio.run(_measure(server))
    return [
        Figure(
            "Neo4j with 50 labels and 100 types",
            f"{first} round trips at first, then {later}; {took * 1000:.0f} ms",
            "≤ 5 round trips",
            first <= 5,
        )
    ]
