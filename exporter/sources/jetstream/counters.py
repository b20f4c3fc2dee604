"""Counters whose increase() is right although the server's own figures may step back. Pure.

After a crash a server may restore a consumer from an older state, and a new leader may be a few operations behind. Exposed
as they are, such figures would look like a counter reset, and increase() would add the whole value again.
"""

from __future__ import annotations

from collections.abc import Iterable

from exporter.sources.jetstream.snapshot import ConsumerKey, ConsumerRow


class ConsumerCounters:
    """Deliveries and settled deliveries: the highest figures reported since the consumer was created."""

    def __init__(self) -> None:
        self._highest: dict[ConsumerKey, tuple[str, int, int]] = {}

    def update(self, rows: Iterable[ConsumerRow]) -> dict[ConsumerKey, tuple[int, int]]:
        """(deliveries, settled deliveries) by consumer; a consumer that was created again starts from its own figures."""
        current = {}
        for row in rows:
            consumer = row.consumer
            delivered = consumer.delivered.consumer_seq
            settled = max(delivered - consumer.num_ack_pending, 0)
            before = self._highest.get(row.key)
            if before is not None and before[0] == consumer.created:
                delivered, settled = max(delivered, before[1]), max(settled, before[2])
            current[row.key] = (consumer.created, delivered, settled)
        self._highest = current
        return {key: (delivered, settled) for key, (_, delivered, settled) in current.items()}


class IncreaseCounter:
    """The sum of the increases of a figure, from 0. The first figure and every decrease only set the starting point.

    In a cluster the account's API figures drop when a node leaves and rise when it returns.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._total = 0

    def update(self, figure: int) -> int:
        """The total after this figure."""
        if self._last is not None:
            self._total += max(figure - self._last, 0)
        self._last = figure
        return self._total
