"""How the streams are read, as samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from exporter.events.streams import How
from exporter.metrics.metric import Metric, Sample, counter, gauge, state_set
from exporter.sources.fleet.snapshot import FleetSnapshot

FOLLOWED = state_set(
    "fleet_stream_followed",
    "How each stream is read: ordered consumer, plain subscription (work queues), permission refused, or offline.",
    "stream",
    states=tuple(How),
    state_label="how",
)
POSITION = gauge("fleet_stream_position", "Stream sequence of the last message read.", "stream")
UNREAD = gauge("fleet_stream_unread_messages", "Messages of a stream that are not read yet.", "stream")
SKIPPED = counter("fleet_stream_skipped_messages_total", "Messages deleted from a stream before they were read.", "stream")
REPEATED = counter("fleet_stream_repeated_messages_total", "Duplicate messages of a stream that were ignored.", "stream")
RESTARTS = counter(
    "fleet_stream_restarts_total",
    "Restarts of a stream's reader: consumer deleted, delivery missing (gap), heartbeats missing (silence), stream "
    "recreated, or sequence reset.",
    "stream",
    "reason",
)
LOSSES = counter("fleet_connection_losses_total", "NATS disconnects of the event reader.")
DROPPED = counter("fleet_dropped_messages_total", "Messages dropped because they arrived faster than they were processed.")
METRICS: Final[tuple[Metric, ...]] = (FOLLOWED, POSITION, UNREAD, SKIPPED, REPEATED, RESTARTS, LOSSES, DROPPED)

REASONS = ("consumer", "gap", "silence", "recreated", "sequence")


def samples(snapshot: FleetSnapshot) -> Iterable[Sample]:
    refused = snapshot.refused_subjects
    for stream in snapshot.streams:
        name = stream.name
        yield FOLLOWED.state(How.REFUSED if refused.intersection(stream.subjects) else stream.how, stream=name)
        if stream.how is How.CONSUMER:
            yield POSITION(stream.position, stream=name)
            yield UNREAD(stream.pending, stream=name)
            yield SKIPPED(stream.skipped, stream=name)
            yield REPEATED(stream.repeated, stream=name)
            for reason in REASONS:
                yield RESTARTS(stream.restarts[reason], stream=name, reason=reason)
    yield LOSSES(snapshot.disconnects)
    yield DROPPED(snapshot.dropped)
