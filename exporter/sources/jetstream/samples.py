"""JetStream records → samples: pure. Thousands of consumers go column by column; what never changes is rendered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from exporter.clients.jetstream import Account, Consumer, ConsumerConfig, Stream, consumer_config
from exporter.metrics.metric import Labels, Metric, Sample, Unit, counter, gauge, info, labels

_NANOSECONDS: Final = 1e9
_CONSUMER: Final = ("stream", "consumer")

SERVER = info("nats_server_info", "The server that answered (its INFO line).", "server", "version")
ROUND_TRIP = gauge("nats_round_trip_seconds", "Time that $JS.API.INFO took to be answered.", unit=Unit.SECONDS)
ACCOUNT_MEMORY = gauge("nats_account_memory_bytes", "Memory storage used by the account (memory).", unit=Unit.BYTES)
ACCOUNT_STORAGE = gauge("nats_account_storage_bytes", "File storage used by the account (storage).", unit=Unit.BYTES)
ACCOUNT_STREAMS = gauge("nats_account_streams", "Streams of the account (streams).")
ACCOUNT_CONSUMERS = gauge("nats_account_consumers", "Consumers of the account (consumers).")
ACCOUNT_MEMORY_LIMIT = gauge(
    "nats_account_limit_memory_bytes", "Limit on memory storage, absent if none (max_memory).", unit=Unit.BYTES
)
ACCOUNT_STORAGE_LIMIT = gauge(
    "nats_account_limit_storage_bytes", "Limit on file storage, absent if none (max_storage).", unit=Unit.BYTES
)
ACCOUNT_STREAM_LIMIT = gauge("nats_account_limit_streams", "Limit on streams, absent if none (max_streams).")
ACCOUNT_CONSUMER_LIMIT = gauge("nats_account_limit_consumers", "Limit on consumers, absent if none (max_consumers).")
API_REQUESTS = counter("nats_account_api_requests_total", "JetStream API requests of the account (api.total).")
API_ERRORS = counter("nats_account_api_errors_total", "JetStream API requests refused (api.errors).")

STREAM_MESSAGES = gauge("nats_stream_messages", "Messages stored (state.messages).", "stream")
STREAM_BYTES = gauge("nats_stream_size_bytes", "Bytes stored (state.bytes).", "stream", unit=Unit.BYTES)
STREAM_FIRST = gauge("nats_stream_first_sequence", "Sequence of the oldest message (state.first_seq).", "stream")
STREAM_LAST = gauge("nats_stream_last_sequence", "Sequence of the newest message (state.last_seq).", "stream")
STREAM_FIRST_TIME = gauge(
    "nats_stream_first_timestamp_seconds", "When the oldest message was stored (state.first_ts).", "stream",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
STREAM_LAST_TIME = gauge(
    "nats_stream_last_timestamp_seconds", "When the newest message was stored (state.last_ts).", "stream",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
STREAM_CONSUMERS = gauge("nats_stream_consumers", "Consumers, ephemeral ones included (state.consumer_count).", "stream")
STREAM_SUBJECTS = gauge("nats_stream_subjects", "Distinct subjects stored (state.num_subjects).", "stream")
STREAM_DELETED = gauge("nats_stream_deleted", "Messages deleted between first and last (state.num_deleted).", "stream")
STREAM_LIMIT_MESSAGES = gauge("nats_stream_limit_messages", "Limit on messages, absent if none (config.max_msgs).", "stream")
STREAM_LIMIT_BYTES = gauge(
    "nats_stream_limit_bytes", "Limit on bytes, absent if none (config.max_bytes).", "stream", unit=Unit.BYTES
)
STREAM_LIMIT_AGE = gauge(
    "nats_stream_limit_age_seconds", "Limit on age, absent if none (config.max_age).", "stream", unit=Unit.SECONDS
)
STREAM_INFO = info(
    "nats_stream_info", "Settings of a stream (config).", "stream", "retention", "storage", "discard", "replicas"
)
EXPECTED_STREAM = gauge(
    "nats_expected_stream_present", "Whether a stream named in jetstream.expected exists (STREAM.LIST).", "stream"
)
EXPECTED_CONSUMER = gauge(
    "nats_expected_consumer_present",
    "Whether a consumer named in jetstream.expected exists (CONSUMER.LIST).",
    *_CONSUMER,
)

LAG = gauge(
    "nats_consumer_lag",
    "Messages not yet delivered plus delivered but unacknowledged ones (num_pending + num_ack_pending).",
    *_CONSUMER,
)  # fmt: skip
PENDING = gauge("nats_consumer_num_pending", "Messages not yet delivered (num_pending).", *_CONSUMER)
ACK_PENDING = gauge("nats_consumer_num_ack_pending", "Messages delivered but unacknowledged (num_ack_pending).", *_CONSUMER)
REDELIVERED = gauge(
    "nats_consumer_num_redelivered", "Unacknowledged messages that were delivered more than once (num_redelivered).",
    *_CONSUMER,
)  # fmt: skip
WAITING = gauge("nats_consumer_num_waiting", "Pull requests waiting for messages (num_waiting).", *_CONSUMER)
DELIVERED = counter("nats_consumer_delivered_total", "Deliveries, repeated ones too (delivered.consumer_seq).", *_CONSUMER)
ACKNOWLEDGED = counter(
    "nats_consumer_acknowledged_total",
    "Deliveries up to which all are acknowledged (ack_floor.consumer_seq).",
    *_CONSUMER,
)
DELIVERED_SEQUENCE = gauge(
    "nats_consumer_delivered_stream_sequence", "Stream sequence delivered last (delivered.stream_seq).", *_CONSUMER
)
ACK_FLOOR_SEQUENCE = gauge(
    "nats_consumer_ack_floor_stream_sequence", "Stream sequence up to which all are acknowledged (ack_floor.stream_seq).",
    *_CONSUMER,
)  # fmt: skip
LAST_DELIVERY = gauge(
    "nats_consumer_last_delivery_timestamp_seconds", "Last delivery, absent before one (delivered.last_active).", *_CONSUMER,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
LAST_ACK = gauge(
    "nats_consumer_last_acknowledgement_timestamp_seconds",
    "Last acknowledgement, absent before one (ack_floor.last_active).", *_CONSUMER, unit=Unit.TIMESTAMP,
)  # fmt: skip
OLDEST = gauge(
    "nats_consumer_oldest_unacknowledged_timestamp_seconds",
    "When the oldest message of a lagging consumer was stored (STREAM.MSG.GET above the ack floor).", *_CONSUMER,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
ACK_WAIT = gauge(
    "nats_consumer_ack_wait_seconds", "Time until an unacknowledged message is delivered again (config.ack_wait).",
    *_CONSUMER, unit=Unit.SECONDS,
)  # fmt: skip
MAX_DELIVER = gauge(
    "nats_consumer_max_deliver",
    "Deliveries of one message at most, absent if unlimited (config.max_deliver).",
    *_CONSUMER,
)
MAX_ACK_PENDING = gauge(
    "nats_consumer_max_ack_pending", "Unacknowledged messages at most, absent if unlimited (config.max_ack_pending).",
    *_CONSUMER,
)  # fmt: skip
SAMPLING = gauge(
    "nats_consumer_sampling", "Whether acknowledgements are sampled, so that latencies can be seen (config.sample_freq).",
    *_CONSUMER,
)  # fmt: skip
CONSUMER_INFO = info(
    "nats_consumer_info", "Settings of a consumer; service is told by the name's prefix (config).",
    *_CONSUMER, "service", "kind", "filter", "deliver_group",
)  # fmt: skip
EPHEMERAL = gauge("nats_stream_ephemeral_consumers", "Consumers without a durable name.", "stream")
EPHEMERAL_LAG = gauge("nats_stream_ephemeral_lag", "Lag of all ephemeral consumers together.", "stream")

STATIC: Final = (ACK_WAIT, MAX_DELIVER, MAX_ACK_PENDING, SAMPLING, CONSUMER_INFO)
"""What a consumer's configuration alone decides, rendered when it changes."""

METRICS: Final[tuple[Metric, ...]] = (
    SERVER, ROUND_TRIP, ACCOUNT_MEMORY, ACCOUNT_STORAGE, ACCOUNT_STREAMS, ACCOUNT_CONSUMERS, ACCOUNT_MEMORY_LIMIT,
    ACCOUNT_STORAGE_LIMIT, ACCOUNT_STREAM_LIMIT, ACCOUNT_CONSUMER_LIMIT, API_REQUESTS, API_ERRORS, STREAM_MESSAGES,
    STREAM_BYTES, STREAM_FIRST, STREAM_LAST, STREAM_FIRST_TIME, STREAM_LAST_TIME, STREAM_CONSUMERS, STREAM_SUBJECTS,
    STREAM_DELETED, STREAM_LIMIT_MESSAGES, STREAM_LIMIT_BYTES, STREAM_LIMIT_AGE, STREAM_INFO, EXPECTED_STREAM,
    EXPECTED_CONSUMER, LAG, PENDING, ACK_PENDING, REDELIVERED, WAITING, DELIVERED, ACKNOWLEDGED, DELIVERED_SEQUENCE,
    ACK_FLOOR_SEQUENCE, LAST_DELIVERY, LAST_ACK, OLDEST, *STATIC, EPHEMERAL, EPHEMERAL_LAG,
)  # fmt: skip


def seconds(timestamp: str) -> float | None:
    """RFC 3339 → seconds since 1970; None for none, for Go's zero time and for what is no time."""
    try:
        value = datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0
    except (ValueError, OverflowError):
        return None
    return value if value > 0 else None


def account_samples(account: Account, *, round_trip: float, server: str, version: str) -> Iterable[Sample]:
    """The account's use and limits; a limit of -1 or 0 is none."""
    yield SERVER(1, server=server, version=version)
    yield ROUND_TRIP(round_trip)
    yield ACCOUNT_MEMORY(account.memory)
    yield ACCOUNT_STORAGE(account.storage)
    yield ACCOUNT_STREAMS(account.streams)
    yield ACCOUNT_CONSUMERS(account.consumers)
    limits = account.limits
    for metric, limit in (
        (ACCOUNT_MEMORY_LIMIT, limits.max_memory),
        (ACCOUNT_STORAGE_LIMIT, limits.max_storage),
        (ACCOUNT_STREAM_LIMIT, limits.max_streams),
        (ACCOUNT_CONSUMER_LIMIT, limits.max_consumers),
    ):
        if limit > 0:
            yield metric(limit)
    yield API_REQUESTS(account.api.total)
    yield API_ERRORS(account.api.errors)


def stream_samples(stream: Stream) -> Iterable[Sample]:
    """One stream's state, limits and settings."""
    config, state = stream.config, stream.state
    who = labels(stream=config.name)
    yield STREAM_MESSAGES.at(who, state.messages)
    yield STREAM_BYTES.at(who, state.bytes)
    yield STREAM_FIRST.at(who, state.first_seq)
    yield STREAM_LAST.at(who, state.last_seq)
    for metric, timestamp in ((STREAM_FIRST_TIME, state.first_ts), (STREAM_LAST_TIME, state.last_ts)):
        if (moment := seconds(timestamp)) is not None:
            yield metric.at(who, moment)
    yield STREAM_CONSUMERS.at(who, state.consumer_count)
    yield STREAM_SUBJECTS.at(who, state.num_subjects)
    yield STREAM_DELETED.at(who, state.num_deleted)
    if config.max_msgs > 0:
        yield STREAM_LIMIT_MESSAGES.at(who, config.max_msgs)
    if config.max_bytes > 0:
        yield STREAM_LIMIT_BYTES.at(who, config.max_bytes)
    if config.max_age > 0:
        yield STREAM_LIMIT_AGE.at(who, config.max_age / _NANOSECONDS)
    yield STREAM_INFO(
        1,
        stream=config.name,
        retention=config.retention,
        storage=config.storage,
        discard=config.discard,
        replicas=str(config.num_replicas),
    )


def service_of(consumer: str, prefixes: Mapping[str, str]) -> str:
    """The service whose prefix the name begins with, the longest one; empty where none fits."""
    fitting = [prefix for prefix in prefixes if consumer.startswith(prefix)]
    return prefixes[max(fitting, key=len)] if fitting else ""


class Known(NamedTuple):
    """A consumer's labels and the lines that its configuration decides, kept as long as that stays the same bytes."""

    raw: bytes
    config: ConsumerConfig
    labels: Labels
    lines: tuple[str, ...]
    """One text for each metric of STATIC, empty where the metric does not apply."""


def known_consumer(stream: str, consumer: Consumer, prefixes: Mapping[str, str]) -> Known:
    """Decode and render what a consumer's configuration decides."""
    config = consumer_config(consumer.config)
    who = labels(stream=stream, consumer=consumer.name)
    lines = (
        ACK_WAIT.at(who, config.ack_wait / _NANOSECONDS).text,
        MAX_DELIVER.at(who, config.max_deliver).text if config.max_deliver > 0 else "",
        MAX_ACK_PENDING.at(who, config.max_ack_pending).text if config.max_ack_pending > 0 else "",
        SAMPLING.at(who, bool(config.sample_freq)).text,
        CONSUMER_INFO(
            1,
            stream=stream,
            consumer=consumer.name,
            service=service_of(consumer.name, prefixes),
            kind="push" if config.deliver_subject else "pull",
            filter=",".join(config.filters),
            deliver_group=config.deliver_group,
        ).text,
    )
    return Known(bytes(consumer.config), config, who, lines)


Row = tuple[str, Consumer, Known]
"""A stream's name, one of its consumers, and what is kept about it."""


def consumer_samples(rows: Sequence[Row], oldest: Mapping[tuple[str, str], float]) -> Iterable[Sample]:
    """Every consumer, column by column; `oldest` has the time of the oldest unacknowledged message where it was read."""
    if not rows:
        return
    pairs = [(known.labels, consumer) for _, consumer, known in rows]
    yield LAG.column([(who, consumer.lag) for who, consumer in pairs])
    yield PENDING.column([(who, consumer.num_pending) for who, consumer in pairs])
    yield ACK_PENDING.column([(who, consumer.num_ack_pending) for who, consumer in pairs])
    yield REDELIVERED.column([(who, consumer.num_redelivered) for who, consumer in pairs])
    yield WAITING.column([(who, consumer.num_waiting) for who, consumer in pairs])
    yield DELIVERED.column([(who, consumer.delivered.consumer_seq) for who, consumer in pairs])
    yield ACKNOWLEDGED.column([(who, consumer.ack_floor.consumer_seq) for who, consumer in pairs])
    yield DELIVERED_SEQUENCE.column([(who, consumer.delivered.stream_seq) for who, consumer in pairs])
    yield ACK_FLOOR_SEQUENCE.column([(who, consumer.ack_floor.stream_seq) for who, consumer in pairs])
    yield LAST_DELIVERY.column(_times([(who, consumer.delivered.last_active) for who, consumer in pairs]))
    yield LAST_ACK.column(_times([(who, consumer.ack_floor.last_active) for who, consumer in pairs]))
    yield OLDEST.column(
        [(known.labels, oldest[key]) for stream, consumer, known in rows if (key := (stream, consumer.name)) in oldest]
    )
    for index, metric in enumerate(STATIC):
        yield metric.lines("".join([known.lines[index] for _, _, known in rows]))


def _times(pairs: Iterable[tuple[Labels, str]]) -> Iterable[tuple[Labels, float]]:
    for who, timestamp in pairs:
        if timestamp and (moment := seconds(timestamp)) is not None:
            yield who, moment


def ephemeral_samples(streams: Iterable[str], rows: Iterable[Row]) -> Iterable[Sample]:
    """For every stream the number of its ephemeral consumers and the sum of their lag, 0 where it has none."""
    count: dict[str, int] = defaultdict(int)
    lag: dict[str, int] = defaultdict(int)
    for stream, consumer, _ in rows:
        count[stream] += 1
        lag[stream] += consumer.lag
    for stream in streams:
        yield EPHEMERAL(count[stream], stream=stream)
        yield EPHEMERAL_LAG(lag[stream], stream=stream)


def expected_samples(expected: Iterable[str], streams: Iterable[str], rows: Iterable[Row]) -> Iterable[Sample]:
    """Each name of the option, `stream` or `stream/consumer`, as there or not."""
    names = set(streams)
    consumers = {(stream, consumer.name) for stream, consumer, _ in rows}
    for name in dict.fromkeys(expected):
        stream, separator, consumer = name.partition("/")
        if separator:
            yield EXPECTED_CONSUMER((stream, consumer) in consumers, stream=stream, consumer=consumer)
        else:
            yield EXPECTED_STREAM(stream in names, stream=stream)
