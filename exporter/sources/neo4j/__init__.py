"""Neo4j, Community edition included: counts from the count store alone, in read mode, under a transaction timeout.

The procedure db.stats.retrieve returns the whole count store. If the user may not call it, count subqueries for the
labels, types and ends of the schema do; they are compiled one by one, so the first collection is slow. No APOC, no scan.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from exporter.clients.tls import client_context
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.neo4j import Neo4jOptions as Neo4jOptions
from exporter.sources.neo4j import counts
from exporter.sources.neo4j.counts import GraphCounts, GraphLimits, PatternCounts
from exporter.sources.neo4j.failures import failure
from exporter.sources.neo4j.schema import Schema

if TYPE_CHECKING:
    from neo4j import AsyncDriver, Record

_COMPONENTS = "CALL dbms.components() YIELD name, versions, edition RETURN versions[0] AS version, edition LIMIT 1"
_CALLS = (
    # Subqueries, because an aggregation with a key returns no row in an empty database.
    "CALL { CALL db.labels() YIELD label RETURN collect(label) AS labels } "
    "CALL { CALL db.relationshipTypes() YIELD relationshipType RETURN collect(relationshipType) AS types } "
)
MAX_ROWS = 100
"""Rows of a result; every query has one row."""
MAX_ITEMS = 50_000
"""Labels, relationship types or counts in a result. The server sends at most one more."""
_BOTH = "labels[..$most] AS labels, types[..$most] AS types"
_STATISTICS = (
    f"{_CALLS} CALL db.stats.retrieve('GRAPH COUNTS') YIELD data "
    f"RETURN {_BOTH}, data.nodes[..$most] AS nodes, data.relationships[..$most] AS relationships"
)
_NAMES = f"{_CALLS} RETURN {_BOTH}"
"""Read from the token stores at every collection, to count new labels and types immediately."""
_SCHEMA = (
    f"{_CALLS} CALL db.schema.visualization() YIELD nodes, relationships "
    f"RETURN {_BOTH}, nodes[..$most] AS nodes, relationships[..$most] AS relationships"
)
_NO_PROCEDURE = ("Neo.ClientError.Security.Forbidden", "Neo.ClientError.Procedure.ProcedureNotFound")
_TRANSACTIONS = "SHOW TRANSACTIONS YIELD database WHERE database = $database RETURN count(*) AS open"


@dataclass(frozen=True)
class Neo4jSnapshot:
    """One database."""

    database: str
    version: str
    edition: str
    counts: GraphCounts
    labels: int
    """Labels, including unused ones; `types` likewise."""
    types: int
    transactions: int | None
    """Open transactions, excluding the exporter's own; None if the user may not list them."""
    last_change: float | None
    """Time of the last collection in which a count changed, in seconds since 1970; None before the first change."""


class Neo4jDatabase(Target[Neo4jSnapshot]):
    """One database and the connection to it."""

    kind: ClassVar[str] = "neo4j"
    metrics: ClassVar[tuple[Metric, ...]] = counts.METRICS

    def __init__(self, options: Neo4jOptions, database: str) -> None:
        self.timeout = options.timeout
        self.max_series = options.max_series
        self.database = database
        self._options = options
        self._limits = GraphLimits(options.max_labels, options.max_types, options.max_patterns)
        self._driver: AsyncDriver | None = None
        self._component: tuple[str, str] | None = None
        self._has_statistics = True
        self._schema = Schema()
        self._schema_until = 0.0
        self._uncounted: dict[str, tuple[int, int]] = {}
        """As counted when the schema was read."""
        self._last: PatternCounts | None = None
        self._changed: float | None = None

    @property
    def server(self) -> str:
        """host:port, and the database if several are configured, so that targets have distinct names."""
        server = self._options.uri.server
        return f"{server}/{self.database}" if len(self._options.databases) > 1 else server

    async def collect(self) -> Neo4jSnapshot:
        import neo4j.exceptions as errors

        try:
            return await self._read()
        except (errors.Neo4jError, errors.DriverError, ValueError) as error:
            raise failure(self.server, error) from error

    async def _read(self) -> Neo4jSnapshot:
        found = await self._statistics() if self._has_statistics else None
        if found is None:
            found = await self._count_by_schema()
        if self._component is None:
            [component] = await self.query(_COMPONENTS)
            self._component = (component["version"], component["edition"])
        if self._last is not None and found != self._last:
            self._changed = time.time()
        self._last = found
        version, edition = self._component
        return Neo4jSnapshot(
            database=self.database,
            version=version,
            edition=edition,
            counts=found.limited(self._limits),
            labels=len(found.labels),
            types=len(found.types),
            transactions=await self._transactions(),
            last_change=self._changed,
        )

    async def _statistics(self) -> PatternCounts | None:
        """All counts; None if the user may not call the procedure or the server does not have it."""
        import neo4j.exceptions as errors

        try:
            [record] = await self.query(_STATISTICS, most=MAX_ITEMS + 1)
        except errors.ClientError as error:
            if error.code not in _NO_PROCEDURE:
                raise
            self._has_statistics = False
            return None
        return PatternCounts.of_statistics(record.data())

    async def _count_by_schema(self) -> PatternCounts:
        [names] = await self.query(_NAMES, most=MAX_ITEMS + 1)
        if time.monotonic() >= self._schema_until or not self._schema.knows(names["labels"], names["types"]):
            await self._read_schema()
        found = await self._counted()
        if found.uncounted() != self._uncounted:  # the ends of a type have new labels
            await self._read_schema()
            found = await self._counted()
            self._uncounted = found.uncounted()
        return found

    async def _read_schema(self) -> None:
        [record] = await self.query(_SCHEMA, most=MAX_ITEMS + 1)
        self._schema = Schema.of(record, limit=self._limits.patterns, known=self._schema)
        self._schema_until = time.monotonic() + self._options.schema_refresh_interval

    async def _counted(self) -> PatternCounts:
        row = [count for query in self._schema.queries for count in (await self.query(query))[0]["counts"]]
        return PatternCounts.of_queries(self._schema, row)

    async def _transactions(self) -> int | None:
        """Open transactions except for this one; None if the user may not list them."""
        import neo4j.exceptions as errors

        try:
            [record] = await self.query(_TRANSACTIONS, database=self.database)
        except errors.ClientError:
            return None
        return max(int(record["open"]) - 1, 0)

    async def query(self, text: str, **parameters: Any) -> list[Record]:
        """The rows of one Cypher query, run in read mode. Raises the driver's errors, and SourceError for a large result."""
        import neo4j

        driver = self._connected()
        async with driver.session(
            database=self.database, default_access_mode=neo4j.READ_ACCESS, fetch_size=MAX_ROWS
        ) as session:
            result = await session.run(neo4j.Query(text, timeout=self.timeout), **parameters)
            records = []
            async for record in result:
                records.append(record)
                if len(records) > MAX_ROWS or any(isinstance(one, list) and len(one) > MAX_ITEMS for one in record):
                    raise SourceError(
                        Reason.MALFORMED,
                        f"Neo4j at {self.server}: expected at most {MAX_ROWS} rows with {MAX_ITEMS} labels, types or counts "
                        "in a result, got more",
                    )
            return records

    def _connected(self) -> AsyncDriver:
        if self._driver is None:
            import neo4j

            options = self._options
            uri = options.uri.without_credentials  # the driver's error messages contain the whole address
            trust: dict[str, Any] = {}
            if options.ca_file:
                trust = {"ssl_context": client_context("neo4j.", options.ca_file)}
                uri = uri.replace("+s://", "://", 1)  # the driver rejects +s with a context, which enables TLS
            self._driver = neo4j.AsyncGraphDatabase.driver(
                uri,
                auth=(options.uri.user or options.user, options.uri.password or options.password.get_secret_value()),
                user_agent="fleet-exporter",
                connection_timeout=self.timeout,
                connection_acquisition_timeout=self.timeout,
                max_connection_pool_size=2,
                max_transaction_retry_time=0,  # the next scrape is the retry
                telemetry_disabled=True,
                notifications_min_severity="OFF",
                **trust,
            )
        return self._driver

    def samples(self, snapshot: Neo4jSnapshot) -> Iterable[Sample]:
        database = snapshot.database
        yield from counts.samples(database, snapshot.counts)
        yield counts.INFO(
            1,
            server=self.server,
            database=database,
            version=snapshot.version,
            edition=snapshot.edition,
        )
        yield counts.LABELS(snapshot.labels, database=database)
        yield counts.TYPES(snapshot.types, database=database)
        if snapshot.transactions is not None:
            yield counts.TRANSACTIONS(snapshot.transactions, database=database)
        if snapshot.last_change is not None:
            yield counts.LAST_CHANGE(snapshot.last_change, database=database)

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        self._component, self._has_statistics, self._schema_until = None, True, 0.0
        if driver is not None:
            await driver.close()


class Neo4j(Source):
    """Every configured database, each a separate target."""

    kind: ClassVar[str] = Neo4jDatabase.kind
    metrics: ClassVar[tuple[Metric, ...]] = Neo4jDatabase.metrics

    def __init__(self, options: Neo4jOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._targets = tuple(Neo4jDatabase(options, database) for database in options.databases)

    def targets(self) -> Sequence[Neo4jDatabase]:
        return self._targets
