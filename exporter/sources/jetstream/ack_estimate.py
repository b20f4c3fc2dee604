"""How long consumers take to acknowledge, estimated where the server does not sample it. Pure.

Each reading gives one point of a consumer's deliveries (sequence, time of the last one). When its acknowledgement floor
has moved, the message at the floor was delivered at the time that lies between the two points around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from exporter.clients.jetstream import Consumer
from exporter.metrics.metric import Sample, Unit, gauge
from exporter.sources.jetstream.samples import Row, seconds

ACK_ESTIMATE = gauge(
    "nats_consumer_ack_duration_estimate_seconds",
    "Estimated time from the delivery to the acknowledgement of the message last acknowledged in order; only where the "
    "server does not sample it.",
    "stream",
    "consumer",
    unit=Unit.SECONDS,
)

_POINTS = 16
"""Readings remembered of a consumer: what is acknowledged later than that is not estimated."""

Key = tuple[str, str]


@dataclass(slots=True)
class _Track:
    floor: int
    points: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_POINTS))
    estimate: float | None = None

    def see(self, consumer: Consumer) -> None:
        delivered, acknowledged = consumer.delivered, consumer.ack_floor
        if self.points and delivered.consumer_seq < self.points[-1][0]:  # the consumer was made anew
            self.points.clear()
            self.estimate = None
        if not self.points or delivered.consumer_seq > self.points[-1][0]:
            moment = seconds(delivered.last_active)
            if moment is not None:
                self.points.append((delivered.consumer_seq, moment))
        if acknowledged.consumer_seq != self.floor:
            self.floor = acknowledged.consumer_seq
            moment = seconds(acknowledged.last_active)
            sent = self._delivered_at(self.floor)
            if moment is not None and sent is not None:
                self.estimate = max(moment - sent, 0.0)

    def _delivered_at(self, sequence: int) -> float | None:
        """When a delivery was made, between the two readings around it; None when it was before them all."""
        before: tuple[int, float] | None = None
        for point in self.points:
            if point[0] == sequence:
                return point[1]
            if point[0] > sequence:
                if before is None:
                    return None
                share = (sequence - before[0]) / (point[0] - before[0])
                return before[1] + share * (point[1] - before[1])
            before = point
        return None


class AckEstimates:
    """The last estimate of each consumer that is not sampled; those that vanish are forgotten."""

    def __init__(self) -> None:
        self._tracks: dict[Key, _Track] = {}

    def see(self, rows: Iterable[Row]) -> Sample:
        """Take a reading into account; a line for each consumer of which there is an estimate."""
        kept: dict[Key, _Track] = {}
        found = []
        for stream, consumer, known in rows:
            if known.config.sample_freq or known.config.ack_policy == "none":
                continue
            key = (stream, consumer.name)
            track = self._tracks.get(key)
            if track is None:
                track = _Track(consumer.ack_floor.consumer_seq)
            track.see(consumer)
            kept[key] = track
            if track.estimate is not None:
                found.append((known.labels, track.estimate))
        self._tracks = kept
        return ACK_ESTIMATE.column(found)
