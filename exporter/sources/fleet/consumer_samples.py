"""How well the streams are followed, as samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from exporter.events.consumer import Tap
from exporter.events.streams import How
from exporter.metrics.metric import Metric, Sample, counter, gauge, state_set

FOLLOWED = state_set(
    "fleet_stream_followed",
    "How each stream is read: in order by a consumer, as it comes by a subscription, or refused by the account.",
    "stream",
    states=tuple(How),
    state_label="how",
)
POSITION = gauge("fleet_stream_position", "Sequence of the last message read of a stream.", "stream")
UNREAD = gauge("fleet_stream_unread_messages", "Messages of a stream that are still to be read.", "stream")
SKIPPED = counter("fleet_stream_skipped_messages_total", "Sequences that were deleted before they could be read.", "stream")
REPEATED = counter("fleet_stream_repeated_messages_total", "Messages that came again and were passed over.", "stream")
RESTARTS = counter(
    "fleet_stream_restarts_total",
    "Times that reading was taken up anew: the consumer was gone, a delivery was missing, heartbeats were, or the "
    "stream was made anew or its sequences jumped back.",
    "stream",
    "reason",
)
LOSSES = counter("fleet_connection_losses_total", "Connections of the event reader to NATS that were lost.")
DROPPED = counter("fleet_dropped_messages_total", "Messages that came faster than they were taken and were dropped.")
METRICS: Final[tuple[Metric, ...]] = (FOLLOWED, POSITION, UNREAD, SKIPPED, REPEATED, RESTARTS, LOSSES, DROPPED)

REASONS = ("consumer", "gap", "silence", "recreated", "sequence")


def samples(tap: Tap) -> Iterable[Sample]:
    refused = tap.connection.refused_subjects
    for stream in tap.followed.values():
        name = stream.name
        yield FOLLOWED.state(How.REFUSED if refused.intersection(stream.subjects) else stream.how, stream=name)
        if stream.how is How.CONSUMER:
            yield POSITION(stream.position, stream=name)
            yield UNREAD(stream.pending, stream=name)
            yield SKIPPED(stream.skipped, stream=name)
            yield REPEATED(stream.repeated, stream=name)
            for reason in REASONS:
                yield RESTARTS(stream.restarts[reason], stream=name, reason=reason)
    yield LOSSES(tap.losses)
    yield DROPPED(tap.connection.dropped)
