"""NATS: the server, its account, and streams that are missing, offline, lagging or full."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import AlertingRule, Component, Severity
from alerts.rules import sources
from alerts.rules.nats_consumers import DRAIN_WINDOWS
from alerts.thresholds import ACCOUNT_FULL_RATIO, RTT_SECONDS, SOURCE_LAG, STREAM_FULL_RATIO
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, series
from exporter.sources.jetstream import account, streams

_NEARLY_FULL = (series(streams.MESSAGES).share_of(series(streams.LIMIT_MESSAGES)) >= STREAM_FULL_RATIO) | (
    series(streams.BYTES).share_of(series(streams.LIMIT_BYTES)) >= STREAM_FULL_RATIO
)
_REJECTS_WHEN_FULL = series(streams.INFO, discard="new").without("max", "retention", "storage", "discard", "replicas")
_SOURCE_LAG = series(streams.SOURCE_LAG)


def _full(pairs: Sequence[tuple[Metric, Metric]]) -> Query:
    """Where usage reaches ACCOUNT_FULL_RATIO of its limit."""
    shares = [series(used).share_of(series(limit)) >= ACCOUNT_FULL_RATIO for used, limit in pairs]
    return functools.reduce(operator.or_, shares)


_ACCOUNT_FULL = _full([(account.STORAGE, account.STORAGE_LIMIT), (account.MEMORY, account.MEMORY_LIMIT)]) | _full(
    [(account.TIER_STORAGE, account.TIER_STORAGE_LIMIT), (account.TIER_MEMORY, account.TIER_MEMORY_LIMIT)]
)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "NatsDown",
        "jetstream",
        Component.NATS,
        "NATS is unreachable",
        DashboardUid.COMMUNICATIONS,
        catches="A NATS server that is down, or that rejects the exporter's credentials after a rotation.",
    ),
    AlertingRule(
        name="NatsSlow",
        query=series(account.RTT).min_over("5m") > RTT_SECONDS,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS responds slowly",
        catches="A disk or a Raft leader that is overloaded: every request succeeds but takes more than a second.",
        description="Every JetStream API request of the last 5 minutes took at least {{ $value | humanizeDuration }}.",
        view=DashboardUid.COMMUNICATIONS,
        limits=("RTT_SECONDS",),
        for_="5m",
    ),
    AlertingRule(
        name="NatsStreamMissing",
        query=series(streams.EXPECTED).max_over("2m").equals(0),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="Expected NATS stream is missing",
        catches="A stream that was deleted or never created; publishers that wait for no ack get no error.",
        description="Stream {{ $labels.stream }} is configured as expected but does not exist; messages published to it "
        "are lost.",
        view=DashboardUid.COMMUNICATIONS,
        variables=("stream",),
        for_="1m",
    ),
    AlertingRule(
        name="NatsStreamOffline",
        query=series(streams.OFFLINE).min_over("2m").equals(1),
        severity=Severity.CRITICAL,
        component=Component.NATS,
        summary="NATS stream is offline",
        catches="A dead cluster node that held the only replica; the stream is listed and cannot be used.",
        description="The leader of stream {{ $labels.stream }} has not responded for 5 minutes; it accepts no messages.",
        view=DashboardUid.COMMUNICATIONS,
        variables=("stream",),
        for_="3m",
    ),
    AlertingRule(
        name="NatsReplicaNotCurrent",
        query=series(streams.REPLICA_CURRENT).max_over("2m").equals(0),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS stream replica is not current",
        catches="A replica that cannot catch up; the next node failure takes the stream offline.",
        description="Replica {{ $labels.replica }} of stream {{ $labels.stream }} has not been current for 10 minutes; the "
        "stream tolerates fewer failures.",
        view=DashboardUid.COMMUNICATIONS,
        variables=("stream",),
        for_="10m",
    ),
    AlertingRule(
        name="NatsSourceLagging",
        query=(_SOURCE_LAG.min_over("5m") >= SOURCE_LAG).unless(_SOURCE_LAG.delta("5m") * -DRAIN_WINDOWS >= _SOURCE_LAG)
        | series(streams.SOURCE_ERROR).min_over("5m").equals(1),
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS mirror or source is lagging",
        catches="A mirror that lost its link or falls behind; its readers work with old messages and get no error.",
        description="{{ $labels.stream }} lags behind its {{ $labels.type }} {{ $labels.source }} or reports an error.",
        view=DashboardUid.COMMUNICATIONS,
        variables=("stream",),
        limits=("SOURCE_LAG",),
        for_="10m",
    ),
    AlertingRule(
        name="NatsStreamNearLimit",
        # A stream that discards old messages is normally full; only one that discards new messages loses them.
        query=_NEARLY_FULL.without("max") & _REJECTS_WHEN_FULL,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS stream is nearly full",
        catches="A stream with discard=new that is about to reject messages.",
        description="{{ $labels.stream }} uses {{ $value | humanizePercentage }} of max_msgs or max_bytes and rejects "
        "messages at 100%.",
        view=DashboardUid.COMMUNICATIONS,
        variables=("stream",),
        limits=("STREAM_FULL_RATIO",),
        for_="5m",
    ),
    AlertingRule(
        name="NatsAccountNearLimit",
        query=_ACCOUNT_FULL,
        severity=Severity.WARNING,
        component=Component.NATS,
        summary="NATS account storage is nearly full",
        catches="Streams that together approach the quota of their account, although each is below its own limit.",
        description="{{ $value | humanizePercentage }} of the account's file or memory storage is used.",
        view=DashboardUid.COMMUNICATIONS,
        limits=("ACCOUNT_FULL_RATIO",),
        for_="10m",
    ),
)
