"""One collection of JetStream: the account, streams and consumers as the server reported them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.clients.jetstream import Account, Consumer, ConsumerConfig, Stream
from exporter.metrics.metric import Labels
from exporter.sources.jetstream.monitoring import ServerReading

ConsumerKey = tuple[str, str]
"""The names of a stream and of its consumer."""


class ParsedConfig(NamedTuple):
    """A consumer's configuration and the sample lines it determines, reused while the server returns the same bytes."""

    raw: bytes
    config: ConsumerConfig
    labels: Labels
    lines: tuple[str, ...]
    """One text per metric of `consumers.STATIC`; empty if the metric does not apply."""


class ConsumerRow(NamedTuple):
    """A consumer, its stream's name and its parsed configuration."""

    stream: str
    consumer: Consumer
    parsed: ParsedConfig

    @property
    def key(self) -> ConsumerKey:
        return self.stream, self.consumer.name


@dataclass(frozen=True)
class AccountReading:
    """The reply to $JS.API.INFO, the seconds it took, and the server that sent it."""

    account: Account
    rtt: float
    server: str
    version: str
    requests: int
    """API requests since the exporter started."""
    errors: int


@dataclass(frozen=True)
class JetstreamSnapshot:
    """What one shard shows. `account` is None on all shards but the first."""

    account: AccountReading | None
    streams: Sequence[Stream]
    offline_streams: Sequence[str]
    """Streams that exist but whose leader does not respond."""
    consumers: Sequence[ConsumerRow]
    offline_consumers: Sequence[ConsumerKey]
    counters: Mapping[ConsumerKey, tuple[int, int]]
    """(deliveries, settled deliveries) of each consumer."""
    oldest_unacked: Mapping[ConsumerKey, float]
    """When the oldest outstanding message was stored, in seconds since 1970, for the consumers where it is known."""
    failed_lookups: Mapping[str, int]
    """Failed lookups of oldest messages by stream."""
    ack_estimates: Sequence[tuple[Labels, float]]
    servers: Sequence[ServerReading] = ()
    """The monitoring ports, on the first shard."""
