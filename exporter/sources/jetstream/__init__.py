"""NATS JetStream over the client port with an ordinary account: STREAM.LIST, CONSUMER.LIST, INFO; nothing is created.

Lists come in pages of 256, asked side by side. For lagging consumers the oldest message above the acknowledgement floor
is looked up once (STREAM.MSG.GET) and remembered until the floor moves; how many of these a scrape makes is capped.

A shard shows the streams that are its own by their names, with all their consumers: each stream's consumers are asked for
by one exporter, and a consumer is on the page of its stream. The account's figures are the first shard's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

from pydantic import PrivateAttr

from exporter.clients.jetstream import OWN_READER, Account, Consumer, ConsumerList, MessageReply, Stream
from exporter.clients.nats import Connection, NatsServer, together
from exporter.config.options import Count, Names, Pairs, option
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import LegacyShardedSource
from exporter.sources.jetstream import samples
from exporter.sources.jetstream.ack_estimate import ACK_ESTIMATE, AckEstimates

_AT_ONCE = 8  # requests in flight: enough to keep a server busy, too few to bother it


SERVICES = {
    "orch-": "orchestrator",
    "deliberation-collector": "orchestrator",
    "orchestrator-": "orchestrator",
    "context-": "context",
    "planning-": "planning",
    "planning-ceremony-processor-": "planning-ceremony-processor",
    "workflow-": "workflow",
    "task-derivation-": "task-derivation",
    "backlog-review-processor-": "backlog-review-processor",
}


class Jetstream(NatsServer, LegacyShardedSource):
    """One NATS deployment; several addresses are members of one cluster."""

    kind: ClassVar[str] = "jetstream"
    metrics: ClassVar[tuple[Metric, ...]] = (*samples.METRICS, ACK_ESTIMATE)

    expected: Annotated[Names, option("Streams, and consumers as stream/consumer, reported as present or missing.")] = ()
    services: Annotated[
        Pairs,
        option("Service by prefix of the consumer's name: prefix=service, with commas."),
    ] = SERVICES
    ephemeral_consumers: Annotated[bool, option("Show ephemeral consumers one by one, not their sum.")] = False
    oldest_reads: Annotated[Count, option("Most messages looked up per scrape for the oldest unacknowledged one.")] = 32

    _connection: Connection | None = PrivateAttr(None)
    _estimates: AckEstimates = PrivateAttr(default_factory=AckEstimates)
    _known: dict[tuple[str, str], samples.Known] = PrivateAttr(default_factory=dict)
    _oldest: dict[tuple[str, str], tuple[int, float]] = PrivateAttr(default_factory=dict)

    async def collect(self) -> Iterable[Sample]:
        connection = await self._connected()
        account = await self._account(connection) if self._shard.is_first else ()
        streams = [stream for stream in await connection.streams() if self._shard.owns(stream.config.name)]
        rows = await self._rows(connection, streams)
        durable = rows if self.ephemeral_consumers else [row for row in rows if row[2].config.durable_name]
        oldest = await self._oldest_unacknowledged(connection, durable)
        names = [stream.config.name for stream in streams]
        found = [
            *account,
            *(sample for stream in streams for sample in samples.stream_samples(stream)),
            *samples.consumer_samples(durable, oldest),
            self._estimates.see(durable),
            *samples.expected_samples(self._own(self.expected), names, rows),
        ]
        ephemeral = [row for row in rows if not row[2].config.durable_name]
        found.extend(samples.ephemeral_samples(names, ephemeral))
        return found

    async def _account(self, connection: Connection) -> Iterable[Sample]:
        began = time.perf_counter()
        account = await connection.ask("INFO", Account)
        round_trip = time.perf_counter() - began
        if account.error is not None:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {self.server}: {account.error.description}")
        return samples.account_samples(account, round_trip=round_trip, server=self.server, version=connection.version)

    def _own(self, expected: Iterable[str]) -> Iterable[str]:
        """The expected names, `stream` or `stream/consumer`, whose stream is this shard's, there or not."""
        return (name for name in expected if self._shard.owns(name.partition("/")[0]))

    async def _rows(self, connection: Connection, streams: Sequence[Stream]) -> list[samples.Row]:
        """Every consumer of every stream with what is kept about it; what vanished is forgotten."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def consumers_of(stream: str) -> tuple[str, list[Consumer]]:
            pages = await connection.pages(f"CONSUMER.LIST.{stream}", ConsumerList, gate)
            return stream, [
                consumer for page in pages for consumer in page.consumers or () if not consumer.name.startswith(OWN_READER)
            ]

        names = [stream.config.name for stream in streams if stream.state.consumer_count]
        found = await together([consumers_of(name) for name in names])
        rows, kept = [], {}
        for stream, consumers in found:
            for consumer in consumers:
                known = self._known.get((stream, consumer.name))
                if known is None or known.raw != bytes(consumer.config):
                    known = samples.known_consumer(stream, consumer, self.services)
                kept[stream, consumer.name] = known
                rows.append((stream, consumer, known))
        self._known = kept
        return rows

    async def _oldest_unacknowledged(
        self, connection: Connection, rows: Sequence[samples.Row]
    ) -> dict[tuple[str, str], float]:
        """When the oldest unacknowledged message was stored, for as many lagging consumers as the cap allows."""
        lagging = {(stream, row.name): (row, known) for stream, row, known in rows if row.lag > 0}
        self._oldest = {key: value for key, value in self._oldest.items() if key in lagging}
        moved = [
            key
            for key, (consumer, _) in sorted(lagging.items(), key=lambda item: -item[1][0].lag)
            if key not in self._oldest or self._oldest[key][0] != consumer.ack_floor.stream_seq
        ]
        for key in moved:
            self._oldest.pop(key, None)

        async def look_up(key: tuple[str, str]) -> None:
            consumer, known = lagging[key]
            floor = consumer.ack_floor.stream_seq
            times = []
            for subject in known.config.filters or (">",):
                reply = await connection.ask(f"STREAM.MSG.GET.{key[0]}", MessageReply, seq=floor + 1, next_by_subj=subject)
                if reply.message is not None and (moment := samples.seconds(reply.message.time)) is not None:
                    times.append(moment)
            if times:
                self._oldest[key] = (floor, min(times))

        await together([look_up(key) for key in moved[: self.oldest_reads]])
        return {key: moment for key, (_, moment) in self._oldest.items()}

    async def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self, timeout=self.timeout)
        if not self._connection.is_open:
            await self._connection.open()
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
