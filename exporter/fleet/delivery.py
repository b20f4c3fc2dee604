"""Deliveries of consumers, from the server's ack samples and advisories. Pure and bounded.

The server publishes ack samples at the consumer's `sample_freq`, and an advisory for every nak and termination.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from exporter.fleet.limits import Capped
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import OTHER, Metric, Sample, Unit, counter, histogram, labels

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_CONSUMERS = 1000
_NANO = 1e9

ACK_SECONDS = histogram(
    "nats_consumer_ack_duration_seconds",
    "Time from delivery to ack of the messages that the server samples ($JS.EVENT.METRIC.CONSUMER.ACK).",
    "stream",
    "consumer",
    unit=Unit.SECONDS,
    bounds=SECONDS,
)
NAKS = counter("nats_consumer_naks_total", "Naks of a consumer (advisory consumer_msg_nak).", "stream", "consumer")
TERMINATIONS = counter(
    "nats_consumer_terminations_total",
    "Messages terminated by a consumer (advisory consumer_msg_terminated).",
    "stream",
    "consumer",
)
MAX_DELIVERIES = counter(
    "nats_consumer_max_deliveries_total",
    "Messages that reached max_deliver without an ack (advisory max_deliver).",
    "stream",
    "consumer",
)
ADVISORIES = counter(
    "fleet_exporter_nats_advisories_total", "Ack samples and consumer advisories received, by type.", "type"
)
METRICS: Final[tuple[Metric, ...]] = (ACK_SECONDS, NAKS, TERMINATIONS, MAX_DELIVERIES, ADVISORIES)

_ACK = "io.nats.jetstream.metric.v1.consumer_ack"
_NAK = "io.nats.jetstream.advisory.v1.nak"
_TERMINATED = "io.nats.jetstream.advisory.v1.terminated"
_MAX_DELIVER = "io.nats.jetstream.advisory.v1.max_deliver"
_KNOWN: Final = {_ACK: "ack", _NAK: "nak", _TERMINATED: "terminated", _MAX_DELIVER: "max_deliver"}


class Advisory(msgspec.Struct, frozen=True):
    """Common fields of samples and advisories about a consumer; `ack_time` in nanoseconds."""

    type: str = ""
    stream: str = ""
    consumer: str = ""
    ack_time: int = 0


@dataclass(slots=True)
class ConsumerDeliveries:
    """Counters of one consumer; `seen` in seconds since 1970."""

    stream: str
    name: str
    seen: float
    acked: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    naks: int = 0
    terminations: int = 0
    max_deliveries: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerCounts:
    """Samples and advisories by type, and the counters of each consumer."""

    types: Mapping[str, int]
    consumers: tuple[ConsumerDeliveries, ...]
    unreadable: int
    """Messages that cannot be parsed."""
    refused: int
    """Samples and advisories of consumers beyond the limit."""


_decoder = msgspec.json.Decoder(Advisory)


class ConsumerStats:
    """Counters by consumer, up to the limit."""

    def __init__(self) -> None:
        self._consumers: Capped[tuple[str, str], ConsumerDeliveries] = Capped(_CONSUMERS, grace=3600.0)
        self._types: dict[str, int] = {}
        self._unreadable = 0

    def apply(self, data: bytes, at: float) -> None:
        """Apply a sample or advisory. Other types are only counted; unparseable messages are counted as unreadable."""
        try:
            advisory = _decoder.decode(data)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            self._unreadable += 1
            return
        kind = _KNOWN.get(advisory.type, OTHER)
        self._types[kind] = self._types.get(kind, 0) + 1
        if kind == OTHER or not advisory.stream or not advisory.consumer:
            return
        key = (advisory.stream, advisory.consumer)
        consumer = self._consumers.touch(key, at)
        if consumer is None:
            consumer = ConsumerDeliveries(*key, seen=at)
            if not self._consumers.add(key, consumer):
                return
        if kind == "ack":
            consumer.acked.observe(max(advisory.ack_time, 0) / _NANO)
        elif kind == "nak":
            consumer.naks += 1
        elif kind == "terminated":
            consumer.terminations += 1
        else:
            consumer.max_deliveries += 1

    def counts(self) -> ConsumerCounts:
        """A snapshot of the counters."""
        consumers = tuple(replace(consumer, acked=consumer.acked.copy()) for consumer in self._consumers)
        return ConsumerCounts(dict(self._types), consumers, self._unreadable, self._consumers.refused)


def samples(counts: ConsumerCounts) -> Iterable[Sample]:
    for kind, number in counts.types.items():
        yield ADVISORIES(number, type=kind)
    yield ADVISORIES(counts.unreadable, type="unreadable")
    for consumer in counts.consumers:
        owner = labels(stream=consumer.stream, consumer=consumer.name)
        if consumer.acked.count:
            yield consumer.acked.sample(ACK_SECONDS, owner)
        yield NAKS.at(owner, consumer.naks)
        yield TERMINATIONS.at(owner, consumer.terminations)
        yield MAX_DELIVERIES.at(owner, consumer.max_deliveries)
