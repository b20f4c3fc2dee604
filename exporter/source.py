"""A Source: what the exporter can read, its options, and the shard of it that this exporter shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import PrivateAttr

from exporter.config.options import Count, Options, Seconds, option
from exporter.config.sharding import WHOLE, Shard
from exporter.metrics.metric import Metric, Sample


class Source(Options):
    """One backend: its fields are its options, `collect()` reads it.

    A subclass in `exporter/sources/` named like its module is found without being listed anywhere. It answers:

    - `collect()`: the samples that are true now; it raises SourceError (or a client's OSError) when it cannot know;
    - `close()`: drops the connection; called after every failed reading and at the end;
    - `targets()`: the instances to ask, when one group of options names several servers;
    - `follow()`: for sources that are told of changes, the task that listens as long as the program lives, and
      `settled()`, which waits until it has the whole picture.
    """

    timeout: Annotated[Seconds, option("Longest time one reading may take, in seconds.")] = 5.0
    max_series: Annotated[Count, option("Series kept of one reading; what is over is dropped and counted.")] = 250_000

    kind: ClassVar[str] = ""
    """The value of the label `source`, the name of the options group and of the module."""

    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Every metric that `collect` may give: the reference is made from it, and a sample of another is refused."""

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = None
    """The group, and the options in it, that say where this source's server is when its own group does not."""

    @property
    def enabled(self) -> bool:
        """Whether it was given an address."""
        raise NotImplementedError

    @property
    def server(self) -> str:
        """host:port of the one server this instance reads, without credentials; empty where there is none."""
        return ""

    def targets(self) -> Sequence[Self]:
        """The instances to read now; the same objects from one call to the next, since they hold connections."""
        return (self,)

    async def collect(self) -> Iterable[Sample]:
        raise NotImplementedError

    async def follow(self) -> None:
        """Runs for as long as the program does; returns where there is nothing to follow."""

    async def settled(self) -> None:
        """Returns when what `follow` builds up is complete for the first time; at once for a source that is asked."""

    async def close(self) -> None:
        """Drop whatever is open; the next reading opens it again."""


S = TypeVar("S", bound=Source)


class ShardedSource(Source):
    """A source that shows only the objects of its shard, asked by `self._shard.owns(…)`."""

    _shard: Shard = PrivateAttr(WHOLE)

    def divide(self, shard: Shard) -> None:
        """Show that shard's objects alone; before the first reading."""
        self._shard = shard


def read_by(shard: Shard, sources: Iterable[S]) -> tuple[S, ...]:
    """The sources that this shard reads, told which part is theirs; those that are not divided are the first one's."""
    found = []
    for source in sources:
        if isinstance(source, ShardedSource):
            source.divide(shard)
        elif not shard.is_first:
            continue
        found.append(source)
    return tuple(found)
