"""State of the event consumer as samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from exporter.events.streams import DeliveryMode
from exporter.metrics.metric import Metric, Sample, counter, gauge, state_set
from exporter.sources.fleet.snapshot import FleetSnapshot

STREAM_MODE = state_set(
    "fleet_exporter_stream_mode",
    "How each stream is read: ordered consumer, plain subscription (work queues), refused by NATS, or offline.",
    "stream",
    states=tuple(DeliveryMode),
    state_label="mode",
)
POSITION = gauge("fleet_exporter_stream_position", "Stream sequence of the last message read.", "stream")
STREAM_LAG = gauge("fleet_exporter_stream_lag_messages", "Messages of a stream that have not been read yet.", "stream")
SKIPPED = counter(
    "fleet_exporter_stream_skipped_messages_total", "Messages deleted from a stream before they were read.", "stream"
)
REPEATED = counter(
    "fleet_exporter_stream_repeated_messages_total", "Duplicate messages of a stream that were ignored.", "stream"
)
RESTARTS = counter(
    "fleet_exporter_stream_restarts_total",
    "Restarts of a stream's reader: consumer deleted, delivery missing (gap), heartbeats missing (silence), stream "
    "recreated, or sequence reset.",
    "stream",
    "reason",
)
DISCONNECTS = counter("fleet_exporter_nats_disconnects_total", "NATS disconnects of the event reader.")
DROPPED = counter(
    "fleet_exporter_dropped_messages_total", "Messages dropped because they arrived faster than they were processed."
)
METRICS: Final[tuple[Metric, ...]] = (STREAM_MODE, POSITION, STREAM_LAG, SKIPPED, REPEATED, RESTARTS, DISCONNECTS, DROPPED)

REASONS = ("consumer", "gap", "silence", "recreated", "sequence")


def samples(snapshot: FleetSnapshot) -> Iterable[Sample]:
    refused = snapshot.refused_subjects
    for stream in snapshot.streams:
        name = stream.name
        yield STREAM_MODE.state(DeliveryMode.REFUSED if refused.intersection(stream.subjects) else stream.mode, stream=name)
        if stream.mode is DeliveryMode.CONSUMER:
            yield POSITION(stream.position, stream=name)
            yield STREAM_LAG(stream.pending, stream=name)
            yield SKIPPED(stream.skipped, stream=name)
            yield REPEATED(stream.repeated, stream=name)
            for reason in REASONS:
                yield RESTARTS(stream.restarts[reason], stream=name, reason=reason)
    yield DISCONNECTS(snapshot.disconnects)
    yield DROPPED(snapshot.dropped)
