"""NATS: streams that are missing or full, consumers that fall behind, stop or go round in circles."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Recording, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import (
    ACCOUNT_FULL_RATIO,
    CONSUMER_LAG,
    CONSUMER_PENDING,
    REDELIVERIES_A_SECOND,
    ROUND_TRIP_SECONDS,
    STREAM_FULL_RATIO,
)
from alerts.view import View
from exporter.fleet import delivery
from exporter.metrics.promql import series
from exporter.sources.jetstream import samples as jetstream

_LAG = series(jetstream.LAG)
# The least of two minutes: a burst that is dealt with in them is no lag, and a failed scrape between them changes nothing.
_FAR_BEHIND = _LAG.min_over("2m") >= CONSUMER_LAG
_MANY_WAIT = series(jetstream.PENDING).min_over("2m") >= CONSUMER_PENDING
_ACKNOWLEDGES_NOTHING = series(jetstream.ACKNOWLEDGED).increase("5m").equals(0)

# Redeliveries are deliveries that bring the stream's sequence no further. `delivered_total` is the consumer's own
# sequence, which counts a repetition like a first delivery; `delivered_stream_sequence` rises by first deliveries alone.
# With a filter it rises by the messages passed over too, so the difference is never too high and may be too low; the
# refusals that the server tells of (naks) are compared as well. `num_redelivered` is no help: it is the number of messages
# that wait for their repetition now, a gauge, whose rate is 0 while one message is delivered a hundred times a second.
REDELIVERIES: Final = Recording(
    name="fleet:nats_consumer_redeliveries:rate5m",
    query=(
        series(jetstream.DELIVERED).rate("5m") - series(jetstream.DELIVERED_SEQUENCE).slope("5m").clamp_min(0)
    ).clamp_min(0).without("max"),
    meaning="Deliveries a second of messages that were delivered before, at least.",
)  # fmt: skip
TIME_TO_ACKNOWLEDGE: Final = Recording(
    name="fleet:nats_consumer_ack_duration_seconds:p95_5m",
    query=series(delivery.ACK_SECONDS).bucket_rate("5m").without("sum").histogram_quantile(0.95),
    meaning="95th percentile of the time from a delivery to its acknowledgement, of those that the server samples.",
)
RECORDINGS: Final = (REDELIVERIES, TIME_TO_ACKNOWLEDGE)

_REPEATED = series(jetstream.REDELIVERED).min_over("5m") > 0
_LOOPS = (_REPEATED & (series(jetstream.DELIVERED).increase("10m") > 0)) & _ACKNOWLEDGES_NOTHING
_NEARLY_FULL = (series(jetstream.STREAM_MESSAGES).share_of(series(jetstream.STREAM_LIMIT_MESSAGES)) >= STREAM_FULL_RATIO) | (
    series(jetstream.STREAM_BYTES).share_of(series(jetstream.STREAM_LIMIT_BYTES)) >= STREAM_FULL_RATIO
)
_REFUSES_WHEN_FULL = series(jetstream.STREAM_INFO, discard="new").without(
    "max", "retention", "storage", "discard", "replicas"
)
_CONSUMER = ("stream", "consumer")
_WHICH = "{{ $labels.consumer }} on {{ $labels.stream }}"

RULES: Final[tuple[Rule, ...]] = (
    sources.down("NatsDown", "jetstream", Component.NATS, "NATS cannot be read", View.COMMUNICATIONS),
    Rule(
        name="NatsSlow",
        query=series(jetstream.ROUND_TRIP).min_over("5m") > ROUND_TRIP_SECONDS,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS takes long to answer",
        description="Every JetStream request of five minutes took {{ $value | humanizeDuration }} or more.",
        view=View.COMMUNICATIONS,
        limits=("ROUND_TRIP_SECONDS",),
        lasting="5m",
    ),
    Rule(
        name="NatsConsumerLagging",
        query=_FAR_BEHIND,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="A NATS consumer is far behind",
        description=f"Messages that {_WHICH} has not been given or not acknowledged: {COUNT}, or more.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("CONSUMER_LAG",),
        lasting="5m",
    ),
    Rule(
        name="NatsConsumerPending",
        # What is not delivered is part of the lag: where that is told already, this would be told twice.
        query=_MANY_WAIT.unless(_FAR_BEHIND),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="Messages wait for a NATS consumer",
        description=f"Messages that have not been delivered to {_WHICH} yet: {COUNT}, or more.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("CONSUMER_PENDING", "CONSUMER_LAG"),
        lasting="5m",
    ),
    Rule(
        name="NatsConsumerStalled",
        # An exporter just started has seen five minutes sooner than that; the ten of `lasting` it has always seen.
        query=((_LAG.min_over("5m") > 0) & _ACKNOWLEDGES_NOTHING).unless(_LOOPS),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="A NATS consumer acknowledges nothing",
        description=f"The acknowledgement floor of {_WHICH} has not moved for ten minutes. Messages that it has to deal "
        f"with: {COUNT}, or more.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        lasting="10m",
    ),
    Rule(
        name="NatsPoisonLoop",
        query=_LOOPS,
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="A NATS consumer gets the same messages again and again",
        description=f"Messages that are delivered to {_WHICH} again and again and never acknowledged: {COUNT}, or more. "
        "What comes after them may wait.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        lasting="10m",
    ),
    Rule(
        name="NatsRedelivering",
        query=(REDELIVERIES.series >= REDELIVERIES_A_SECOND)
        | (series(delivery.NAKS).rate("5m").without("sum") >= REDELIVERIES_A_SECOND),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="A NATS consumer refuses or loses many messages",
        description=f"{_WHICH} is given {{{{ $value | humanize }}}} messages a second that it had before.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("REDELIVERIES_A_SECOND",),
        lasting="5m",
        kept="5m",
    ),
    Rule(
        name="NatsMaxDeliveriesReached",
        query=series(delivery.MAX_DELIVERIES).grown("15m"),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS has given messages up",
        description=f"Messages were delivered to {_WHICH} as often as it allows, and will not be again.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
    ),
    Rule(
        name="NatsAckPendingFull",
        # A consumer that takes one message at a time is full whenever it works; that is wrong only where many wait for it.
        query=(series(jetstream.ACK_PENDING).min_over("5m").share_of(series(jetstream.MAX_ACK_PENDING)) >= 1) & _MANY_WAIT,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="A NATS consumer gets nothing new before it acknowledges",
        description=f"{_WHICH} has as many unacknowledged messages as max_ack_pending allows, and others wait.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        limits=("CONSUMER_PENDING",),
        lasting="5m",
    ),
    Rule(
        name="NatsStreamMissing",
        query=series(jetstream.EXPECTED_STREAM).max_over("2m").equals(0),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="An expected NATS stream is missing",
        description="There is no stream {{ $labels.stream }}, which the configuration expects; what is published for it "
        "is lost.",
        view=View.COMMUNICATIONS,
        variables=("stream",),
        lasting="1m",
    ),
    Rule(
        name="NatsConsumerMissing",
        # Of a stream that is missing itself nothing more is to be said.
        query=series(jetstream.EXPECTED_CONSUMER).max_over("2m").equals(0).unless(
            series(jetstream.EXPECTED_STREAM).equals(0), ignoring=("consumer",)
        ),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="An expected NATS consumer is missing",
        description=f"There is no consumer {_WHICH}, which the configuration expects; nobody deals with its messages.",
        view=View.COMMUNICATIONS,
        variables=_CONSUMER,
        lasting="5m",
    ),
    Rule(
        name="NatsStreamNearLimit",
        # A stream that discards old messages is meant to be full; only one that refuses new ones then loses what comes.
        query=_NEARLY_FULL.without("max") & _REFUSES_WHEN_FULL,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="A NATS stream will soon refuse messages",
        description="{{ $labels.stream }} holds {{ $value | humanizePercentage }} of the messages or bytes it may.",
        view=View.COMMUNICATIONS,
        variables=("stream",),
        limits=("STREAM_FULL_RATIO",),
        lasting="5m",
    ),
    Rule(
        name="NatsAccountNearLimit",
        query=(series(jetstream.ACCOUNT_STORAGE).share_of(series(jetstream.ACCOUNT_STORAGE_LIMIT)) >= ACCOUNT_FULL_RATIO)
        | (series(jetstream.ACCOUNT_MEMORY).share_of(series(jetstream.ACCOUNT_MEMORY_LIMIT)) >= ACCOUNT_FULL_RATIO),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="The NATS account has little storage left",
        description="{{ $value | humanizePercentage }} of the account's file or memory storage is used.",
        view=View.COMMUNICATIONS,
        limits=("ACCOUNT_FULL_RATIO",),
        lasting="10m",
    ),
)  # fmt: skip
