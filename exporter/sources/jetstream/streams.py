"""STREAM.LIST → samples: each stream's state, limits, replicas, mirror and sources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from exporter.clients.jetstream import OriginState, Stream
from exporter.metrics.metric import Metric, Sample, Unit, gauge, info, labels
from exporter.metrics.timestamps import NANOSECONDS, seconds

_REPLICA: Final = ("stream", "replica")
_SOURCE: Final = ("stream", "source", "type")

MESSAGES = gauge("nats_stream_messages", "Messages stored (state.messages).", "stream")
BYTES = gauge("nats_stream_size_bytes", "Bytes stored (state.bytes).", "stream", unit=Unit.BYTES)
FIRST = gauge("nats_stream_first_sequence", "Sequence of the oldest message (state.first_seq).", "stream")
LAST = gauge("nats_stream_last_sequence", "Sequence of the newest message (state.last_seq).", "stream")
FIRST_TIME = gauge(
    "nats_stream_first_timestamp_seconds", "Storage time of the oldest message (state.first_ts).", "stream",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
LAST_TIME = gauge(
    "nats_stream_last_timestamp_seconds", "Storage time of the newest message (state.last_ts).", "stream",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
CONSUMERS = gauge("nats_stream_consumers", "Consumers, including ephemeral ones (state.consumer_count).", "stream")
SUBJECTS = gauge("nats_stream_subjects", "Distinct subjects stored (state.num_subjects).", "stream")
DELETED = gauge("nats_stream_deleted", "Messages deleted between first and last (state.num_deleted).", "stream")
LIMIT_MESSAGES = gauge("nats_stream_limit_messages", "Max messages, absent if unlimited (config.max_msgs).", "stream")
LIMIT_BYTES = gauge(
    "nats_stream_limit_bytes", "Max bytes, absent if unlimited (config.max_bytes).", "stream", unit=Unit.BYTES
)
LIMIT_AGE = gauge(
    "nats_stream_limit_age_seconds", "Max message age, absent if unlimited (config.max_age).", "stream",
    unit=Unit.SECONDS,
)  # fmt: skip
INFO = info("nats_stream_info", "Stream configuration (config).", "stream", "retention", "storage", "discard", "replicas")
OFFLINE = gauge(
    "nats_stream_offline",
    "Whether the stream exists but its leader does not respond, so its other metrics are absent (missing, offline).",
    "stream",
)
LEADER = info("nats_stream_leader_info", "The leader of a stream in a cluster (cluster.leader).", "stream", "leader")
REPLICA_CURRENT = gauge(
    "nats_stream_replica_current", "Whether a follower is up to date (cluster.replicas.current).", *_REPLICA
)
REPLICA_OFFLINE = gauge(
    "nats_stream_replica_offline", "Whether a follower is offline (cluster.replicas.offline).", *_REPLICA
)
REPLICA_LAG = gauge(
    "nats_stream_replica_lag", "Operations a follower is behind the leader (cluster.replicas.lag).", *_REPLICA
)
SOURCE_LAG = gauge(
    "nats_stream_source_lag",
    "Messages a mirror or sourcing stream is behind its origin (mirror.lag, sources.lag); type is mirror or source.",
    *_SOURCE,
)
SOURCE_ACTIVE = gauge(
    "nats_stream_source_last_active_timestamp_seconds",
    "Last contact with the origin of a mirror or source, absent before one (mirror.active, sources.active).", *_SOURCE,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
SOURCE_ERROR = gauge(
    "nats_stream_source_error", "Whether a mirror or source reports an error (mirror.error, sources.error).", *_SOURCE
)
EXPECTED = gauge(
    "nats_expected_stream_present",
    "Whether a stream named in jetstream.expected exists, including offline ones (STREAM.LIST).",
    "stream",
)

METRICS: Final[tuple[Metric, ...]] = (
    MESSAGES, BYTES, FIRST, LAST, FIRST_TIME, LAST_TIME, CONSUMERS, SUBJECTS, DELETED, LIMIT_MESSAGES, LIMIT_BYTES,
    LIMIT_AGE, INFO, OFFLINE, LEADER, REPLICA_CURRENT, REPLICA_OFFLINE, REPLICA_LAG, SOURCE_LAG, SOURCE_ACTIVE,
    SOURCE_ERROR, EXPECTED,
)  # fmt: skip


def stream_samples(stream: Stream) -> Iterable[Sample]:
    """One stream's state, limits, configuration, replicas and origins."""
    config, state = stream.config, stream.state
    who = labels(stream=config.name)
    yield MESSAGES.at(who, state.messages)
    yield BYTES.at(who, state.bytes)
    yield FIRST.at(who, state.first_seq)
    yield LAST.at(who, state.last_seq)
    for metric, timestamp in ((FIRST_TIME, state.first_ts), (LAST_TIME, state.last_ts)):
        if (moment := seconds(timestamp)) is not None:
            yield metric.at(who, moment)
    yield CONSUMERS.at(who, state.consumer_count)
    yield SUBJECTS.at(who, state.num_subjects)
    yield DELETED.at(who, state.num_deleted)
    if config.max_msgs > 0:
        yield LIMIT_MESSAGES.at(who, config.max_msgs)
    if config.max_bytes > 0:
        yield LIMIT_BYTES.at(who, config.max_bytes)
    if config.max_age > 0:
        yield LIMIT_AGE.at(who, config.max_age / NANOSECONDS)
    yield INFO(
        1,
        stream=config.name,
        retention=config.retention,
        storage=config.storage,
        discard=config.discard,
        replicas=str(config.num_replicas),
    )
    yield OFFLINE.at(who, 0)
    yield from _replica_samples(stream)
    now = seconds(stream.ts)
    if stream.mirror is not None:
        yield from _source_samples(config.name, "mirror", [stream.mirror], now)
    if stream.sources:
        yield from _source_samples(config.name, "source", stream.sources, now)


def _replica_samples(stream: Stream) -> Iterable[Sample]:
    if not stream.cluster.name:
        return
    name = stream.config.name
    if stream.cluster.leader:
        yield LEADER(1, stream=name, leader=stream.cluster.leader)
    for replica in stream.cluster.replicas or ():
        who = labels(stream=name, replica=replica.name)
        yield REPLICA_CURRENT.at(who, replica.current)
        yield REPLICA_OFFLINE.at(who, replica.offline)
        yield REPLICA_LAG.at(who, replica.lag)


def _source_samples(stream: str, kind: str, origins: Sequence[OriginState], now: float | None) -> Iterable[Sample]:
    """A stream may source the same origin several times, with different filters: the worst of them counts."""
    by_name: dict[str, list[OriginState]] = {}
    for origin in origins:
        by_name.setdefault(origin.name, []).append(origin)
    for name, states in by_name.items():
        who = labels(stream=stream, source=name, type=kind)
        yield SOURCE_LAG.at(who, max(state.lag for state in states))
        yield SOURCE_ERROR.at(who, any(state.error is not None for state in states))
        if now is not None and all(state.active >= 0 for state in states):
            yield SOURCE_ACTIVE.at(who, now - max(state.active for state in states) / NANOSECONDS)


def offline_samples(names: Iterable[str]) -> Iterable[Sample]:
    """Streams that exist and cannot be read."""
    return (OFFLINE(1, stream=name) for name in names)


def expected_samples(expected: Iterable[str], existing: Iterable[str]) -> Iterable[Sample]:
    """Each expected stream as present or missing."""
    names = set(existing)
    return (EXPECTED(name in names, stream=name) for name in dict.fromkeys(expected))
