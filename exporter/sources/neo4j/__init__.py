"""Neo4j, Community edition included: counts from the count store alone, in read mode, under a transaction timeout.

A reading is two queries, every count in one and the transactions in the other; version and schema are asked first and
then again every `schema_seconds`. No APOC, no scan: a test holds the plan of the count query against that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt
from pydantic import PrivateAttr, SecretStr

from exporter.config.address import Address, Neo4jAddress
from exporter.config.options import Seconds, Secret, option
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import LegacySource
from exporter.sources.neo4j import counts

if TYPE_CHECKING:
    from neo4j import AsyncDriver, Record

_UNAUTHORIZED = ("Neo.ClientError.Security",)
_COMPONENTS = "CALL dbms.components() YIELD name, versions, edition RETURN versions[0] AS version, edition LIMIT 1"
_CALLS = (
    # Subqueries, since an aggregation with a key has no row at all in an empty database.
    "CALL { CALL db.labels() YIELD label RETURN collect(label) AS labels } "
    "CALL { CALL db.relationshipTypes() YIELD relationshipType RETURN collect(relationshipType) AS types } "
)
_NAMES = f"{_CALLS} RETURN labels, types"
"""Read from the token stores at every collection, so that a new label or type is counted at once."""
_SCHEMA = f"{_CALLS} CALL db.schema.visualization() YIELD nodes, relationships RETURN labels, types, nodes, relationships"
_TRANSACTIONS = "SHOW TRANSACTIONS YIELD database WHERE database = $database RETURN count(*) AS open"


class Neo4j(LegacySource):
    """One database of one Neo4j deployment."""

    kind: ClassVar[str] = "neo4j"
    metrics: ClassVar[tuple[Metric, ...]] = counts.METRICS

    uri: Annotated[
        Neo4jAddress,
        option("host:port, bolt:// or neo4j:// address; +s for TLS.", env="NEO4J_URI"),
    ] = Address("")
    user: Annotated[str, option("User name.", env="NEO4J_USER")] = "neo4j"
    password: Annotated[Secret, option("Password.", env="NEO4J_PASSWORD")] = SecretStr("")
    database: Annotated[str, option("Database to count.", env="NEO4J_DATABASE")] = "neo4j"
    ca_file: Annotated[Path | None, option("CA certificate that signed the server's, for TLS.")] = None
    max_labels: Annotated[int, Gt(0), option("Maximum number of labels; the rest is `other`.")] = 200
    max_types: Annotated[int, Gt(0), option("Maximum number of relationship types; the rest is `other`.")] = 200
    max_patterns: Annotated[int, Gt(0), option("Maximum number of patterns; the rest is `other`.")] = 500
    schema_seconds: Annotated[
        Seconds, option("Interval between full schema reads, in seconds; a new label or type triggers one.")
    ] = 300.0

    _driver: AsyncDriver | None = PrivateAttr(None)
    _component: tuple[str, str] = PrivateAttr(("", ""))
    _schema: counts.Schema = PrivateAttr(counts.Schema())
    _schema_until: float = PrivateAttr(0.0)
    _last: tuple[Any, ...] | None = PrivateAttr(None)
    _changed: float | None = PrivateAttr(None)

    @property
    def enabled(self) -> bool:
        return bool(self.uri.get_secret_value())

    @property
    def server(self) -> str:
        return self.uri.server

    async def collect(self) -> Iterable[Sample]:
        import neo4j.exceptions as errors

        try:
            return await self._read()
        except errors.UnsupportedServerProduct as error:  # another protocol answers, or a server without ours
            raise SourceError(Reason.MALFORMED, f"Neo4j at {self.server}: {error}") from None
        except errors.ConfigurationError as error:
            raise SourceError(Reason.CONFIG, f"Neo4j at {self.server}: {error}") from None
        except errors.ClientError as error:
            denied = str(error.code).startswith(_UNAUTHORIZED)
            reason = Reason.UNAUTHORIZED if denied else Reason.MALFORMED
            raise SourceError(reason, f"Neo4j at {self.server}: {error.message}") from None
        except errors.Neo4jError as error:
            timed_out = "Timeout" in str(error.code) or "Terminated" in str(error.code)
            reason = Reason.TIMEOUT if timed_out else Reason.UNREACHABLE
            raise SourceError(reason, f"Neo4j at {self.server}: {error.message}") from None
        except errors.ServiceUnavailable as error:
            # The driver has one error for nobody there and for somebody else there.
            foreign = "handshake" in str(error).lower() or "protocol" in str(error).lower()
            reason = Reason.MALFORMED if foreign else Reason.UNREACHABLE
            raise SourceError(reason, f"Neo4j at {self.server}: {error}") from None
        except errors.DriverError as error:
            raise SourceError(Reason.UNREACHABLE, f"Neo4j at {self.server}: {error}") from None

    async def _read(self) -> list[Sample]:
        database = self.database
        names = (await self._query(_NAMES))[0]
        known = (self._schema.labels, self._schema.types)
        if time.monotonic() >= self._schema_until or known != (_sorted(names["labels"]), _sorted(names["types"])):
            component = (await self._query(_COMPONENTS))[0]
            self._component = (component["version"], component["edition"])
            self._schema = _schema((await self._query(_SCHEMA))[0], limit=self.max_patterns)
            self._schema_until = time.monotonic() + self.schema_seconds
        row = [count for query in self._schema.queries for count in (await self._query(query))[0]["counts"]]
        counted = counts.Counts.of(self._schema, row)
        found = list(
            counts.count_samples(
                database,
                counted,
                max_labels=self.max_labels,
                max_types=self.max_types,
                max_patterns=self.max_patterns,
            )
        )
        open_transactions = await self._transactions()
        version, edition = self._component
        found.append(counts.INFO(1, server=self.server, database=database, version=version, edition=edition))
        found.append(counts.LABELS(len(self._schema.labels), database=database))
        found.append(counts.TYPES(len(self._schema.types), database=database))
        if open_transactions is not None:
            found.append(counts.TRANSACTIONS(open_transactions, database=database))
        self._note_change((counted.nodes, counted.relationships, counted.labels, counted.types))
        if self._changed is not None:
            found.append(counts.LAST_CHANGE(self._changed, database=database))
        return found

    def _note_change(self, seen: tuple[Any, ...]) -> None:
        if self._last is not None and seen != self._last:
            self._changed = time.time()
        self._last = seen

    async def _transactions(self) -> int | None:
        """Transactions in progress but this one; None where the account may not see them."""
        import neo4j.exceptions as errors

        try:
            return max(int((await self._query(_TRANSACTIONS, database=self.database))[0]["open"]) - 1, 0)
        except errors.ClientError:
            return None

    async def _query(self, text: str, **parameters: Any) -> list[Record]:
        import neo4j

        driver = self._connected()
        async with driver.session(database=self.database, default_access_mode=neo4j.READ_ACCESS) as session:
            result = await session.run(neo4j.Query(text, timeout=self.timeout), **parameters)
            return [record async for record in result]

    def _connected(self) -> AsyncDriver:
        if self._driver is None:
            import neo4j

            trust: dict[str, Any] = {}
            if self.ca_file:
                trust = {"trusted_certificates": neo4j.TrustCustomCAs(str(self.ca_file)), "encrypted": True}
            self._driver = neo4j.AsyncGraphDatabase.driver(
                self.uri.without_credentials,  # its errors repeat the whole address
                auth=(self.uri.user or self.user, self.uri.password or self.password.get_secret_value()),
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

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        self._schema_until = 0.0
        if driver is not None:
            await driver.close()


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _schema(record: Record, *, limit: int) -> counts.Schema:
    """The schema procedures' one row; at most `limit` pairs a side, since each is a count to be asked."""
    names = {node.element_id: next(iter(node.labels), "") for node in record["nodes"]}
    starts, ends = set(), set()
    for relationship in record["relationships"]:
        if relationship.start_node is not None and (label := names.get(relationship.start_node.element_id)):
            starts.add((label, relationship.type))
        if relationship.end_node is not None and (label := names.get(relationship.end_node.element_id)):
            ends.add((relationship.type, label))
    # The procedure leaves out relationships with an unlabeled end: their types are counted with every label.
    shown = {name for _, name in starts} & {name for name, _ in ends}
    for name in set(record["types"]) - shown:
        starts |= {(label, name) for label in record["labels"]}
        ends |= {(name, label) for label in record["labels"]}
    return counts.Schema(
        labels=_sorted(record["labels"]),
        types=_sorted(record["types"]),
        starts=tuple(sorted(starts)[:limit]),
        ends=tuple(sorted(ends)[:limit]),
    )
