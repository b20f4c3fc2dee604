"""NATS JetStream over the client port with an ordinary account: STREAM.LIST, CONSUMER.LIST and INFO; creates nothing.

A shard shows the streams whose names it owns, with all their consumers, so each stream's consumers are requested by one
exporter. The account's metrics are the first shard's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from exporter.clients.concurrency import RequestLimit, both
from exporter.clients.jetstream import Account, Stream
from exporter.clients.nats import Connection
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.jetstream import SERVICES as SERVICES
from exporter.source_options.jetstream import JetstreamOptions as JetstreamOptions
from exporter.sources.jetstream import account, consumers, monitoring, streams
from exporter.sources.jetstream.ack_estimate import ACK_ESTIMATE, AckEstimates
from exporter.sources.jetstream.consumer_lists import StreamConsumers, consumer_lists
from exporter.sources.jetstream.counters import ConsumerCounters, IncreaseCounter
from exporter.sources.jetstream.monitoring import MonitoringPorts, ServerReading, monitoring_samples
from exporter.sources.jetstream.oldest import OldestUnacked
from exporter.sources.jetstream.snapshot import (
    AccountReading,
    ConsumerKey,
    ConsumerRow,
    JetstreamSnapshot,
    ParsedConfig,
)

_CONCURRENT_REQUESTS = 8


class Jetstream(Source, Target[JetstreamSnapshot]):
    """The streams and consumers of one account."""

    kind: ClassVar[str] = "jetstream"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *account.METRICS, *streams.METRICS, *consumers.METRICS, ACK_ESTIMATE, *monitoring.METRICS
    )  # fmt: skip
    is_sharded: ClassVar[bool] = True

    def __init__(self, options: JetstreamOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._connection = Connection(options, timeout=options.timeout)
        self._lists: dict[str, StreamConsumers] = {}
        self._parsed: dict[ConsumerKey, ParsedConfig] = {}
        self._stream_total = 0
        self._counters = ConsumerCounters()
        self._requests, self._errors = IncreaseCounter(), IncreaseCounter()
        self._oldest = OldestUnacked(options.max_oldest_lookups)
        self._estimates = AckEstimates()
        self._monitoring = MonitoringPorts(options.monitoring_url, options.ca_file)

    @property
    def server(self) -> str:
        return self.options.server

    async def collect(self) -> JetstreamSnapshot:
        connection = self._connection
        if not connection.is_open:
            await connection.open()
            self._oldest.reset()
        reading = await self._account(connection) if self.shard.is_first else None
        (found, offline), servers = await both(self._read_lists(connection), self._read_servers())
        rows = self._rows()
        shown = [row for row in rows if self._is_shown(row)]
        oldest = await self._oldest.update(connection, found, shown)
        return JetstreamSnapshot(
            account=reading,
            streams=found,
            offline_streams=offline,
            consumers=rows,
            offline_consumers=[(stream, name) for stream, listed in self._lists.items() for name in listed.offline],
            counters=self._counters.update(shown),
            oldest_unacked=oldest,
            failed_lookups=self._oldest.failed,
            ack_estimates=self._estimates.update(shown),
            servers=servers,
        )

    async def _account(self, connection: Connection) -> AccountReading:
        started = time.perf_counter()
        reply = await connection.ask("INFO", Account)
        rtt = time.perf_counter() - started
        if reply.error is not None:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {connection.server}: {reply.error.description}")
        return AccountReading(
            account=reply,
            rtt=rtt,
            server=connection.server,
            version=connection.version,
            requests=self._requests.update(reply.api.total),
            errors=self._errors.update(reply.api.errors),
        )

    async def _read_servers(self) -> list[ServerReading]:
        return await self._monitoring.read() if self.shard.is_first else []

    async def _read_lists(self, connection: Connection) -> tuple[list[Stream], list[str]]:
        """The shard's streams, and the names of offline streams; their consumers are then in `self._lists`."""
        limit = RequestLimit(_CONCURRENT_REQUESTS)
        totals = {name: listed.total for name, listed in self._lists.items()}
        (listed, unavailable, self._stream_total), lists = await both(
            connection.stream_list(expected=self._stream_total), consumer_lists(connection, totals, totals, limit)
        )
        found = [stream for stream in listed if self.shard.owns(stream.config.name)]
        offline = [name for name in unavailable if self.shard.owns(name)]
        occupied = {*offline, *(stream.config.name for stream in found if stream.state.consumer_count)}
        lists |= await consumer_lists(connection, sorted(occupied - lists.keys()), {}, limit)
        self._lists = {name: lists[name] for name in lists if name in occupied}
        return found, offline

    def _rows(self) -> list[ConsumerRow]:
        """Every consumer with its configuration, which is parsed when it changes."""
        rows, parsed = [], {}
        for stream, listed in self._lists.items():
            for consumer in listed.found:
                key = (stream, consumer.name)
                known = self._parsed.get(key)
                if known is None or known.raw != bytes(consumer.config):
                    known = consumers.parsed_config(stream, consumer, self.options.services)
                parsed[key] = known
                rows.append(ConsumerRow(stream, consumer, known))
        self._parsed = parsed
        return rows

    def _is_shown(self, row: ConsumerRow) -> bool:
        return bool(row.parsed.config.durable_name) or self.options.ephemeral_consumers

    def samples(self, snapshot: JetstreamSnapshot) -> Iterable[Sample]:
        if snapshot.account is not None:
            yield from account.account_samples(snapshot.account)
        yield from monitoring_samples(snapshot.servers)
        for stream in snapshot.streams:
            yield from streams.stream_samples(stream)
        yield from streams.offline_samples(snapshot.offline_streams)
        shown = [row for row in snapshot.consumers if self._is_shown(row)]
        yield from consumers.consumer_samples(shown, snapshot.counters, snapshot.oldest_unacked)
        yield from consumers.offline_samples(snapshot.offline_consumers)
        yield ACK_ESTIMATE.column(snapshot.ack_estimates)
        names = [stream.config.name for stream in snapshot.streams]
        yield from (consumers.FAILED_LOOKUPS(snapshot.failed_lookups.get(name, 0), stream=name) for name in names)
        ephemeral = [row for row in snapshot.consumers if not row.parsed.config.durable_name]
        yield from consumers.ephemeral_samples(names, ephemeral)
        yield from self._expected_samples(snapshot, names)

    def _expected_samples(self, snapshot: JetstreamSnapshot, names: Sequence[str]) -> Iterable[Sample]:
        """Offline streams and consumers exist; whether an offline stream has a consumer that was not reported is unknown."""
        owned = [name.partition("/") for name in self.options.expected if self.shard.owns(name.partition("/")[0])]
        offline = set(snapshot.offline_streams)
        yield from streams.expected_samples((stream for stream, separator, _ in owned if not separator), (*names, *offline))
        existing = {*(row.key for row in snapshot.consumers), *snapshot.offline_consumers}
        yield from consumers.expected_samples(
            (
                (stream, consumer)
                for stream, separator, consumer in owned
                if separator and (stream not in offline or (stream, consumer) in existing)
            ),
            existing,
        )

    async def close(self) -> None:
        await self._connection.close()
        await self._monitoring.close()
