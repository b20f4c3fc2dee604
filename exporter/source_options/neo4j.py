"""Options of the source `neo4j`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Gt
from pydantic import AfterValidator, SecretStr

from exporter.config.address import Address, Neo4jAddress
from exporter.config.options import Names, Seconds, Secret, option
from exporter.source import SourceOptions


def _distinct(databases: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.lower() for name in databases)  # Neo4j's comparison rules
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected each database once, got {','.join(databases)!r}; list at least one, and none twice")
    if "system" in names:
        raise ValueError("expected databases with a graph, got 'system'; remove it, since it cannot be counted")
    return names


class Neo4jOptions(SourceOptions):
    """One Neo4j server or cluster, and any of its databases."""

    uri: Annotated[
        Neo4jAddress,
        option("host:port, bolt:// or neo4j:// address; +s for TLS.", env="NEO4J_URI"),
    ] = Address("")
    user: Annotated[str, option("User name.", env="NEO4J_USER")] = "neo4j"
    password: Annotated[Secret, option("Password.", env="NEO4J_PASSWORD")] = SecretStr("")
    databases: Annotated[
        Names,
        AfterValidator(_distinct),
        option("Databases to count; each is collected separately.", env="NEO4J_DATABASE"),
    ] = ("neo4j",)
    ca_file: Annotated[Path | None, option("CA certificates for TLS, in addition to the system's.")] = None
    max_labels: Annotated[int, Gt(0), option("Maximum number of labels; the rest is `other`.")] = 200
    max_types: Annotated[int, Gt(0), option("Maximum number of relationship types; the rest is `other`.")] = 200
    max_patterns: Annotated[int, Gt(0), option("Maximum number of patterns; the rest is `other`.")] = 500
    schema_refresh_interval: Annotated[
        Seconds,
        option("Interval between full schema reads in seconds, if the user may not call db.stats.retrieve."),
    ] = 300.0

    @property
    def enabled(self) -> bool:
        return bool(self.uri.get_secret_value())
