"""A source: frozen options, a connection or a background task, and snapshots that become samples.

A module or package `exporter/sources/NAME` has a class whose `kind` is NAME and is found by that name. Its options are in
`exporter/source_options/NAME`, so that only configured sources are imported, or in the same module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from exporter.config.options import Count, Options, Seconds, option
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.metrics.metric import Metric, Sample, counter, gauge

SnapshotT = TypeVar("SnapshotT")

LOOKUP_UP = gauge(
    "fleet_exporter_lookup_up",
    "Whether an optional lookup of a source succeeded in the last collection; its metrics are absent if not.",
    "source",
    "server",
    "lookup",
)
"""For sources with lookups that can be refused independently; each declares it among its metrics."""


UNREADABLE_VALUES = gauge(
    "fleet_exporter_unreadable_values",
    "Values that cannot be parsed, by field; all other metrics exclude them.",
    "source",
    "field",
)
"""Shared by the sources that parse values of other programs."""

LIMIT_HITS = counter(
    "fleet_exporter_limit_hits_total", "Objects dropped or counted as `other` because a limit was reached, by kind.", "kind"
)
"""Shared by the sources that limit what they track; each has its own kinds."""


class SourceOptions(Options):
    """The options of one source; every source has these two."""

    timeout: Annotated[Seconds, option("Collection timeout, in seconds.")] = 5.0
    max_series: Annotated[Count, option("Maximum series per collection; the excess is dropped and counted.")] = 250_000

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = None
    """The group whose address and credentials these options inherit, and the names of the inherited options."""

    same_server_prefix: ClassVar[str] = ""
    """Prefix of the inherited options' names in this group."""

    @property
    def enabled(self) -> bool:
        """Whether an address is configured."""
        raise NotImplementedError


class Target(ABC, Generic[SnapshotT]):
    """One server, collected and reported separately."""

    kind: ClassVar[str] = ""
    """The value of the label `source`, the name of the options group and of the module."""

    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Every metric that `samples` can return; others are an error."""

    timeout: float
    max_series: int

    @property
    def server(self) -> str:
        """host:port without credentials, the value of the label `server`; empty if there is no single server."""
        return ""

    @property
    def location(self) -> str:
        """Display name of what it reads; default: the server."""
        return self.server

    @abstractmethod
    async def collect(self) -> SnapshotT:
        """The server's current state. Raises SourceError or the client's OSError."""

    @abstractmethod
    def samples(self, snapshot: SnapshotT) -> Iterable[Sample]:
        """A snapshot as samples. Pure."""

    def failure(self, snapshot: SnapshotT) -> SourceError | None:  # noqa: ARG002 - for targets that override it
        """Why a snapshot is incomplete or outdated; None if it is complete and current.

        The target is then reported as down with this reason, and its samples stay on the page. Pure.

        """
        return None

    async def close(self) -> None:
        """Close the connection; the next collection opens it again. Called after every failed collection."""


class Source:
    """A kind of backend, created from its options. A source with a single server is also its own target."""

    kind: ClassVar[str] = ""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    is_sharded: ClassVar[bool] = False
    """Whether its objects are sharded; otherwise only the first shard reads it."""

    def __init__(self, options: Any, shard: Shard = WHOLE) -> None:
        self.shard = shard
        self.timeout: float = options.timeout
        self.max_series: int = options.max_series

    @property
    def server(self) -> str:
        """host:port of the only server; empty if there are several."""
        return ""

    def targets(self) -> Sequence[Target[Any]]:
        """The current targets; the same objects from call to call, because they hold connections."""
        if not isinstance(self, Target):
            raise NotImplementedError
        return (self,)

    async def run(self) -> None:
        """Watch the backend until cancelled; returns immediately if the source only polls."""

    async def wait_synced(self) -> None:
        """Return when `run` has the first complete state; immediately if the source only polls."""

    def disconnect_clients(self) -> None:
        """End the live streams of the source's events, if it has any."""

    async def close(self) -> None:
        """Close every connection."""


def is_watched(source: Source) -> bool:
    """Whether the source has a background task."""
    return type(source).run is not Source.run


def created(kind: type[Source], options: SourceOptions, shard: Shard) -> Source | None:
    """The source for one group of options; None if another shard reads it."""
    return kind(options, shard) if kind.is_sharded or shard.is_first else None
