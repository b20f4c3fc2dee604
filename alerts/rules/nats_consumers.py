"""NATS consumers that are missing or offline, that lag, stall or loop."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, RecordingRule, Severity
from alerts.thresholds import (
    CONSUMER_LAG,
    CONSUMER_PENDING,
    LONG_ACK_WAIT_SECONDS,
    REDELIVERIES_A_SECOND,
    REPEATED_DELIVERIES,
)
from exporter.fleet import delivery
from exporter.metrics.promql import Query, series
from exporter.sources.jetstream import consumers, streams

_CONSUMER: Final = ("stream", "consumer")

_LAG = series(consumers.LAG)
_PENDING = series(consumers.PENDING)
_PAUSED = series(consumers.PAUSED).max_over("5m").equals(1)
# The minimum of two minutes: a burst processed within them is no lag, and a failed scrape in between changes nothing.
_FAR_BEHIND = _LAG.min_over("2m") >= CONSUMER_LAG
_MANY_PENDING = _PENDING.min_over("2m") >= CONSUMER_PENDING
# A backlog that will be empty in an hour, twelve windows of five minutes, is a batch or a replay that is being processed.
DRAIN_WINDOWS: Final = 12
_LAG_DRAINS = _LAG.delta("5m") * -DRAIN_WINDOWS >= _LAG
_PENDING_DRAINS = _PENDING.delta("5m") * -DRAIN_WINDOWS >= _PENDING

# The ack floor is no sign of progress: one message over max_deliver holds it while the others are acked. The time of the
# last ack moves with every ack. A consumer without acks makes progress by deliveries.
_ACKS = (series(consumers.LAST_ACK).changes("5m") > 0) | (series(consumers.LAST_DELIVERY).changes("5m") > 0).only_with(
    series(consumers.INFO, ack_policy="none"), "job", "instance", *_CONSUMER
)
_ACK_WAIT = series(consumers.ACK_WAIT)
# A server that restarts forgets the times of the last delivery and the last ack, not what is in flight.
_REMEMBERED: Final = "2h"
_WORKS_LONG = (
    (series(consumers.LAST_ACK).max_over(_REMEMBERED).age() < _ACK_WAIT * 2)
    | ((series(consumers.LAST_DELIVERY).max_over(_REMEMBERED).age() < _ACK_WAIT) & series(consumers.REDELIVERED).equals(0))
) & (_ACK_WAIT > LONG_ACK_WAIT_SECONDS)

# A redelivery raises the consumer sequence (`delivered_total`) but not the stream sequence, so it is the difference of the
# two. With a filter the stream sequence also rises by messages passed over, which makes the result a lower bound; naks,
# which the server reports, are therefore compared as well. `num_redelivered` is the number of messages that were delivered
# more than once and are not acked: a gauge that stays at 1 while one message is redelivered a hundred times per second.
_DELIVERIES = series(consumers.DELIVERED)
_FIRST_DELIVERIES = series(consumers.DELIVERED_SEQUENCE)


def _repeated(window: str) -> Query:
    """Redeliveries in a window, at least."""
    return (_DELIVERIES.increase(window) - _FIRST_DELIVERIES.delta(window).clamp_min(0)).clamp_min(0)


REDELIVERIES: Final = RecordingRule(
    name="fleet:nats_consumer_redeliveries:rate5m",
    query=(_DELIVERIES.rate("5m") * _repeated("5m").share_of(_DELIVERIES.increase("5m"))).without("max"),
    meaning="Redeliveries per second (lower bound).",
)
ACK_DURATION: Final = RecordingRule(
    name="fleet:nats_consumer_ack_duration_seconds:p95_5m",
    query=series(delivery.ACK_SECONDS).bucket_rate("5m").without("sum").histogram_quantile(0.95),
    meaning="p95 of the time from delivery to ack, as sampled by the server.",
)
RECORDINGS: Final = (REDELIVERIES, ACK_DURATION)

_KEEPS_REPEATING = (series(consumers.REDELIVERED).min_over("5m") > 0) & (_repeated("10m") >= REPEATED_DELIVERIES)
# Without max_deliver a message that holds the ack floor is never given up, whatever else is acked.
_HOLDS_FLOOR = series(consumers.ACK_FLOOR_SEQUENCE).changes("10m").equals(0).unless(series(consumers.MAX_DELIVER))
_LOOPS = (_KEEPS_REPEATING.unless(_ACKS) | (_KEEPS_REPEATING & _HOLDS_FLOOR)).unless(_PAUSED)
_WHICH = "{{ $labels.consumer }} on {{ $labels.stream }}"

RULES: Final[tuple[AlertingRule, ...]] = (
    AlertingRule(
        name="NatsConsumerLagging",
        query=_FAR_BEHIND.unless(_LAG_DRAINS).unless(_PAUSED),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS consumer is lagging",
        catches="A service with too few workers for the load: it works, and its backlog never gets shorter.",
        description=f"{_WHICH} has at least {COUNT} undelivered or unacked messages, too many to clear in an hour.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("CONSUMER_LAG",),
        for_="10m",
    ),
    AlertingRule(
        name="NatsConsumerPending",
        # Undelivered messages are part of the lag, which has an alert.
        query=_MANY_PENDING.unless(_PENDING_DRAINS).unless(_FAR_BEHIND).unless(_PAUSED),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS consumer has undelivered messages",
        catches="The same shortage on a quiet stream, where 50 undelivered messages are hours of work.",
        description=f"{_WHICH} has at least {COUNT} undelivered messages, too many to deliver in an hour.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("CONSUMER_PENDING", "CONSUMER_LAG"),
        for_="10m",
    ),
    AlertingRule(
        name="NatsConsumerStalled",
        # An exporter that just started has seen less than five minutes; it has always seen the ten of `for`.
        query=(_LAG.min_over("5m") > 0).unless(_ACKS).unless(_LOOPS).unless(_WORKS_LONG).unless(_PAUSED),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="NATS consumer is not acking messages",
        catches="A service that is connected and deadlocked: messages wait, nothing is acked, its pod is ready.",
        description=f"{_WHICH} has at least {COUNT} outstanding messages and has not acked any for 15 minutes.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("LONG_ACK_WAIT_SECONDS",),
        for_="10m",
    ),
    AlertingRule(
        name="NatsPoisonLoop",
        query=_LOOPS,
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="NATS consumer redelivers messages in a loop",
        catches="One malformed message that crashes its service at each delivery and blocks the messages after it.",
        description=f"{_WHICH} redelivers at least {COUNT} messages without an ack; later messages may be blocked.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("REPEATED_DELIVERIES",),
        for_="10m",
    ),
    AlertingRule(
        name="NatsRedelivering",
        query=(REDELIVERIES.series >= REDELIVERIES_A_SECOND)
        | (series(delivery.NAKS).rate("5m").without("sum") >= REDELIVERIES_A_SECOND),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS consumer has a high redelivery rate",
        catches="An ack_wait that is shorter than the work: every message is processed several times, LLM calls included.",
        description=f"{_WHICH} redelivers {{{{ $value | humanize }}}} messages per second; work is repeated.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("REDELIVERIES_A_SECOND",),
        for_="5m",
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="NatsMaxDeliveriesReached",
        query=series(delivery.MAX_DELIVERIES).grown("15m"),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="Messages exceeded max_deliver",
        catches="A task that failed at every delivery; it is lost unless someone publishes it again.",
        description=f"{_WHICH} delivered messages max_deliver times without an ack; they will not be delivered again.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
    ),
    AlertingRule(
        name="NatsAckPendingFull",
        # A consumer that processes one message at a time is always full; that matters only if many messages are pending.
        query=(
            (series(consumers.ACK_PENDING).min_over("5m").share_of(series(consumers.MAX_ACK_PENDING)) >= 1) & _MANY_PENDING
        ).unless(_PENDING_DRAINS).unless(_PAUSED),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS consumer reached max_ack_pending",
        catches="Workers that took messages and died without an ack; the server delivers nothing more to the healthy ones.",
        description=f"{_WHICH} has max_ack_pending unacked messages, so no further messages are delivered.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("CONSUMER_PENDING",),
        for_="5m",
    ),
    AlertingRule(
        name="NatsConsumerOffline",
        # The consumers of an offline stream are offline with it.
        query=series(consumers.OFFLINE).min_over("2m").equals(1).unless(
            series(streams.OFFLINE).equals(1), ignoring=("consumer",)
        ),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="NATS consumer is offline",
        catches="A consumer with one replica on a dead node, on a stream that is still available.",
        description=f"The leader of {_WHICH} has not responded for 5 minutes; it delivers no messages.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        for_="3m",
    ),
    AlertingRule(
        name="NatsConsumerMissing",
        # A missing stream has its own alert.
        query=series(consumers.EXPECTED).max_over("2m").equals(0).unless(
            series(streams.EXPECTED).equals(0), ignoring=("consumer",)
        ),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="Expected NATS consumer is missing",
        catches="A durable consumer that a cleanup or a migration deleted; its service idles and looks healthy.",
        description=f"Consumer {_WHICH} is configured as expected but does not exist; its messages are not processed.",
        view=DashboardUid.COMMUNICATIONS,
        variables=_CONSUMER,
        for_="5m",
    ),
)  # fmt: skip
