"""CONSUMER.LIST of many streams concurrently.

If a node is down, the server responds to a list request only after four seconds. Streams known from the previous collection
are therefore requested together with STREAM.LIST, and all pages at once, which bounds the total delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exporter.clients.concurrency import RequestLimit, together
from exporter.clients.jetstream import OWN_READER, Consumer, ConsumerList
from exporter.clients.nats import Connection


@dataclass(frozen=True)
class StreamConsumers:
    """A stream's consumers, without the exporter's own."""

    found: tuple[Consumer, ...]
    offline: tuple[str, ...]
    """Consumers that exist and whose leader does not respond."""
    total: int


async def consumer_lists(
    connection: Connection, streams: Iterable[str], totals: Mapping[str, int], limit: RequestLimit
) -> dict[str, StreamConsumers]:
    """The consumers of each stream; `totals` has the number of its consumers where it is known. Raises SourceError."""

    async def consumers_of(stream: str) -> tuple[str, StreamConsumers]:
        pages = await connection.pages(f"CONSUMER.LIST.{stream}", ConsumerList, limit=limit, expected=totals.get(stream, 0))
        found = [consumer for page in pages for consumer in page.consumers or () if not _is_own(consumer.name)]
        offline = [name for page in pages for name in page.unavailable if not _is_own(name)]
        return stream, StreamConsumers(tuple(found), tuple(dict.fromkeys(offline)), pages[0].total)

    return dict(await together([consumers_of(stream) for stream in streams]))


def _is_own(name: str) -> bool:
    return name.startswith(OWN_READER)
