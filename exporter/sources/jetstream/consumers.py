"""CONSUMER.LIST → samples: pure. Thousands of consumers are rendered by column; what never changes is rendered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from exporter.clients.jetstream import Consumer, consumer_config
from exporter.metrics.metric import Labels, Metric, Sample, Unit, counter, gauge, info, labels
from exporter.metrics.timestamps import NANOSECONDS, seconds
from exporter.sources.jetstream.snapshot import ConsumerKey, ConsumerRow, ParsedConfig

_CONSUMER: Final = ("stream", "consumer")

LAG = gauge("nats_consumer_lag", "Undelivered messages plus unacked ones (num_pending + num_ack_pending).", *_CONSUMER)
PENDING = gauge("nats_consumer_num_pending", "Messages not yet delivered (num_pending).", *_CONSUMER)
ACK_PENDING = gauge("nats_consumer_num_ack_pending", "Messages delivered but not acked (num_ack_pending).", *_CONSUMER)
REDELIVERED = gauge(
    "nats_consumer_num_redelivered",
    "Messages delivered more than once and not acked, including messages over max_deliver (num_redelivered).",
    *_CONSUMER,
)
WAITING = gauge("nats_consumer_num_waiting", "Pull requests waiting for messages (num_waiting).", *_CONSUMER)
DELIVERED = counter(
    "nats_consumer_delivered_total", "Deliveries, including redeliveries (delivered.consumer_seq).", *_CONSUMER
)
SETTLED = counter(
    "nats_consumer_settled_deliveries_total",
    "Deliveries that no longer await an ack: acked, terminated, redelivered or over max_deliver "
    "(delivered.consumer_seq - num_ack_pending).",
    *_CONSUMER,
)
DELIVERED_SEQUENCE = gauge(
    "nats_consumer_delivered_stream_sequence", "Stream sequence of the last delivery (delivered.stream_seq).", *_CONSUMER
)
ACK_FLOOR_SEQUENCE = gauge(
    "nats_consumer_ack_floor_stream_sequence",
    "Stream sequence up to which every message is acked (ack_floor.stream_seq).",
    *_CONSUMER,
)
LAST_DELIVERY = gauge(
    "nats_consumer_last_delivery_timestamp_seconds",
    "Last delivery, absent before the first one since the server started (delivered.last_active).", *_CONSUMER,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
LAST_ACK = gauge(
    "nats_consumer_last_ack_timestamp_seconds",
    "Last ack in any order, absent before the first one since the server started (ack_floor.last_active).", *_CONSUMER,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
OLDEST = gauge(
    "nats_consumer_oldest_unacked_timestamp_seconds",
    "Storage time of the oldest undelivered or unacked message (STREAM.MSG.GET); absent without lag, over "
    "jetstream.max-oldest-lookups, and if a message over max_deliver hides it.", *_CONSUMER,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
PAUSED = gauge("nats_consumer_paused", "Whether deliveries are paused (paused).", *_CONSUMER)
OFFLINE = gauge(
    "nats_consumer_offline",
    "Whether the consumer exists but its leader does not respond, so its other metrics are absent (missing, offline).",
    *_CONSUMER,
)
PUSH_BOUND = gauge(
    "nats_consumer_push_bound", "Whether a push consumer has a subscriber (push_bound); absent for pull.", *_CONSUMER
)
ACK_WAIT = gauge(
    "nats_consumer_ack_wait_seconds", "Time until an unacked message is redelivered (config.ack_wait).", *_CONSUMER,
    unit=Unit.SECONDS,
)  # fmt: skip
MAX_DELIVER = gauge(
    "nats_consumer_max_deliver", "Max deliveries of one message, absent if unlimited (config.max_deliver).", *_CONSUMER
)
MAX_ACK_PENDING = gauge(
    "nats_consumer_max_ack_pending", "Max unacked messages, absent if unlimited (config.max_ack_pending).", *_CONSUMER
)
SAMPLING = gauge(
    "nats_consumer_sampling", "Whether the server samples acks for ack durations (config.sample_freq).", *_CONSUMER
)
INFO = info(
    "nats_consumer_info",
    "Consumer configuration (config); service is derived from the name's prefix.",
    *_CONSUMER, "service", "kind", "filter", "deliver_group", "ack_policy", "deliver_policy", "priority_policy",
    "priority_groups",
)  # fmt: skip
LEADER = info("nats_consumer_leader_info", "The leader of a consumer in a cluster (cluster.leader).", *_CONSUMER, "leader")
EXPECTED = gauge(
    "nats_expected_consumer_present",
    "Whether a consumer named in jetstream.expected exists, including offline ones; absent if its stream is offline "
    "(CONSUMER.LIST).",
    *_CONSUMER,
)
EPHEMERAL = gauge("nats_stream_ephemeral_consumers", "Consumers without a durable name.", "stream")
EPHEMERAL_LAG = gauge("nats_stream_ephemeral_lag", "Total lag of the stream's ephemeral consumers.", "stream")
FAILED_LOOKUPS = gauge(
    "nats_stream_oldest_lookup_failures",
    "Lookups of oldest unacked messages that failed in the last collection, including refused ones (STREAM.MSG.GET).",
    "stream",
)

STATIC: Final = (ACK_WAIT, MAX_DELIVER, MAX_ACK_PENDING, SAMPLING, INFO)
"""Metrics that the configuration alone determines; rendered when it changes."""

METRICS: Final[tuple[Metric, ...]] = (
    EXPECTED, LAG, PENDING, ACK_PENDING, REDELIVERED, WAITING, DELIVERED, SETTLED, DELIVERED_SEQUENCE,
    ACK_FLOOR_SEQUENCE, LAST_DELIVERY, LAST_ACK, OLDEST, PAUSED, OFFLINE, PUSH_BOUND, *STATIC, LEADER, EPHEMERAL,
    EPHEMERAL_LAG, FAILED_LOOKUPS,
)  # fmt: skip


def service_of(consumer: str, prefixes: Mapping[str, str]) -> str:
    """The service with the longest prefix of the consumer's name; empty if there is none."""
    matching = [prefix for prefix in prefixes if consumer.startswith(prefix)]
    return prefixes[max(matching, key=len)] if matching else ""


def parsed_config(stream: str, consumer: Consumer, prefixes: Mapping[str, str]) -> ParsedConfig:
    """Decode a consumer's configuration and render what it determines."""
    config = consumer_config(consumer.config)
    who = labels(stream=stream, consumer=consumer.name)
    lines = (
        ACK_WAIT.at(who, config.ack_wait / NANOSECONDS).text,
        MAX_DELIVER.at(who, config.max_deliver).text if config.max_deliver > 0 else "",
        MAX_ACK_PENDING.at(who, config.max_ack_pending).text if config.max_ack_pending > 0 else "",
        SAMPLING.at(who, bool(config.sample_freq)).text,
        INFO(
            1,
            stream=stream,
            consumer=consumer.name,
            service=service_of(consumer.name, prefixes),
            kind="push" if config.deliver_subject else "pull",
            filter=",".join(config.filters),
            deliver_group=config.deliver_group,
            ack_policy=config.ack_policy,
            deliver_policy=config.deliver_policy,
            priority_policy=config.priority_policy,
            priority_groups=",".join(config.priority_groups or ()),
        ).text,
    )
    return ParsedConfig(bytes(consumer.config), config, who, lines)


def consumer_samples(
    rows: Sequence[ConsumerRow],
    counters: Mapping[ConsumerKey, tuple[int, int]],
    oldest: Mapping[ConsumerKey, float],
) -> Iterable[Sample]:
    """Every consumer, by column. `counters` has each one's deliveries and settled deliveries."""
    if not rows:
        return
    pairs = [(row.parsed.labels, row.consumer) for row in rows]
    yield LAG.column([(who, consumer.lag) for who, consumer in pairs])
    yield PENDING.column([(who, consumer.num_pending) for who, consumer in pairs])
    yield ACK_PENDING.column([(who, consumer.num_ack_pending) for who, consumer in pairs])
    yield REDELIVERED.column([(who, consumer.num_redelivered) for who, consumer in pairs])
    yield WAITING.column([(who, consumer.num_waiting) for who, consumer in pairs])
    yield DELIVERED.column([(row.parsed.labels, counters[row.key][0]) for row in rows])
    yield SETTLED.column([(row.parsed.labels, counters[row.key][1]) for row in rows])
    yield DELIVERED_SEQUENCE.column([(who, consumer.delivered.stream_seq) for who, consumer in pairs])
    yield ACK_FLOOR_SEQUENCE.column([(who, consumer.ack_floor.stream_seq) for who, consumer in pairs])
    yield LAST_DELIVERY.column(_times([(who, consumer.delivered.last_active) for who, consumer in pairs]))
    yield LAST_ACK.column(_times([(who, consumer.ack_floor.last_active) for who, consumer in pairs]))
    yield OLDEST.column([(row.parsed.labels, oldest[row.key]) for row in rows if row.key in oldest])
    yield PAUSED.column([(who, int(consumer.paused)) for who, consumer in pairs])
    yield OFFLINE.column([(who, 0) for who, _ in pairs])
    push = [(row.parsed.labels, int(row.consumer.push_bound)) for row in rows if row.parsed.config.deliver_subject]
    if push:
        yield PUSH_BOUND.column(push)
    for index, metric in enumerate(STATIC):
        yield metric.lines("".join([row.parsed.lines[index] for row in rows]))
    yield from (
        LEADER(1, stream=row.stream, consumer=row.consumer.name, leader=row.consumer.cluster.leader)
        for row in rows
        if row.consumer.cluster.name and row.consumer.cluster.leader
    )


def _times(pairs: Iterable[tuple[Labels, str]]) -> Iterable[tuple[Labels, float]]:
    for who, timestamp in pairs:
        if timestamp and (moment := seconds(timestamp)) is not None:
            yield who, moment


def offline_samples(consumers: Iterable[ConsumerKey]) -> Iterable[Sample]:
    """Consumers that exist and cannot be read."""
    return (OFFLINE(1, stream=stream, consumer=consumer) for stream, consumer in consumers)


def ephemeral_samples(streams: Iterable[str], rows: Iterable[ConsumerRow]) -> Iterable[Sample]:
    """The number and total lag of each stream's ephemeral consumers; 0 if it has none."""
    count: dict[str, int] = defaultdict(int)
    lag: dict[str, int] = defaultdict(int)
    for row in rows:
        count[row.stream] += 1
        lag[row.stream] += row.consumer.lag
    for stream in streams:
        yield EPHEMERAL(count[stream], stream=stream)
        yield EPHEMERAL_LAG(lag[stream], stream=stream)


def expected_samples(expected: Iterable[ConsumerKey], existing: Iterable[ConsumerKey]) -> Iterable[Sample]:
    """Each expected consumer as present or missing."""
    names = set(existing)
    return (EXPECTED(key in names, stream=key[0], consumer=key[1]) for key in dict.fromkeys(expected))
