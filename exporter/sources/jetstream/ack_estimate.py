"""Ack durations of consumers whose acks the server does not sample, estimated from successive collections. Pure.

Each collection gives one point of a consumer's deliveries: sequence and time of the last one. When the ack floor has
moved, the message at the floor was delivered at a time interpolated between the two points around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from exporter.clients.jetstream import Consumer
from exporter.metrics.metric import Labels, Unit, gauge
from exporter.metrics.timestamps import seconds
from exporter.sources.jetstream.snapshot import ConsumerKey, ConsumerRow

ACK_ESTIMATE = gauge(
    "nats_consumer_ack_duration_estimate_seconds",
    "Estimated time from delivery to ack of the last message acked in order; no data if the server samples acks.",
    "stream",
    "consumer",
    unit=Unit.SECONDS,
)

_POINTS = 16
"""Collections kept per consumer; an ack that takes longer is not estimated."""


@dataclass(slots=True)
class _Track:
    floor: int
    points: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_POINTS))
    estimate: float | None = None

    def update(self, consumer: Consumer) -> None:
        delivered, floor = consumer.delivered, consumer.ack_floor
        if self.points and delivered.consumer_seq < self.points[-1][0]:  # the consumer was created again
            self.points.clear()
            self.estimate = None
        if not self.points or delivered.consumer_seq > self.points[-1][0]:
            moment = seconds(delivered.last_active)
            if moment is not None:
                self.points.append((delivered.consumer_seq, moment))
        if floor.consumer_seq != self.floor:
            self.floor = floor.consumer_seq
            moment = seconds(floor.last_active)
            sent = self._delivered_at(self.floor)
            if moment is not None and sent is not None:
                self.estimate = max(moment - sent, 0.0)

    def _delivered_at(self, sequence: int) -> float | None:
        """When a delivery was made, interpolated between two points; None if it precedes them all."""
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
    """The last estimate per consumer; forgotten when the consumer is gone."""

    def __init__(self) -> None:
        self._tracks: dict[ConsumerKey, _Track] = {}

    def update(self, rows: Iterable[ConsumerRow]) -> list[tuple[Labels, float]]:
        """Add a collection; the estimates there are, by the consumers' labels."""
        kept: dict[ConsumerKey, _Track] = {}
        found = []
        for row in rows:
            if row.parsed.config.sample_freq or row.parsed.config.ack_policy == "none":
                continue
            track = self._tracks.get(row.key) or _Track(row.consumer.ack_floor.consumer_seq)
            track.update(row.consumer)
            kept[row.key] = track
            if track.estimate is not None:
                found.append((row.parsed.labels, track.estimate))
        self._tracks = kept
        return found
