"""Row about the copies of streams: replicas in the cluster, mirrors and sources, and limits per replica tier."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, Column, Limit
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import table
from dashboards.grafana.queries import Line, chosen, shown
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series
from exporter.sources.jetstream import account, streams

_REPLICA: Final = ("stream", "replica")
_SOURCE: Final = ("stream", "source")
_NO_YES: Final = {"0": ("no", QUIET), "1": ("yes", BAD)}
_CURRENT: Final = {"0": ("no", WARN), "1": ("yes", OK)}
_FULL: Final = (Limit(thresholds.ACCOUNT_FULL_RATIO, WARN),)


def _of(metric: Metric) -> Series:
    return shown(metric, stream=chosen("stream"))


def _full(used: Metric, limit: Metric) -> Line:
    return Line(shown(used).share_of(shown(limit)).max("tier"))


REPLICATION: Final = Row(
    "Replicas, mirrors and sources",
    [
        table(
            "Replicas",
            "Followers of each stream and whether they are up to date (nats_stream_replica_current, "
            "nats_stream_replica_lag). No data without a cluster.",
            _REPLICA,
            [
                (
                    Column("current", states={"0": ("no", WARN), "1": ("yes", OK)}),
                    Line(_of(streams.REPLICA_CURRENT).max(*_REPLICA)),
                ),
                (Column("offline", states=_NO_YES), Line(_of(streams.REPLICA_OFFLINE).max(*_REPLICA))),
                (Column("lag", decimals=0), Line(_of(streams.REPLICA_LAG).max(*_REPLICA))),
            ],
            sort="current",
            descending=False,
            width=8,
            height=8,
        ),
        table(
            "Leaders and offline streams",
            "Each stream's leader, and streams whose leader does not answer (nats_stream_leader_info, nats_stream_offline).",
            ["stream"],
            [
                (Column("offline", states=_NO_YES), Line(_of(streams.OFFLINE).max("stream"))),
                (Column("has a leader", states={"1": ("yes", OK)}), Line(_of(streams.LEADER).max("stream", "leader"))),
            ],
            labels={"leader": "leader"},
            sort="offline",
            width=6,
            height=8,
        ),
        table(
            "Mirrors and sources",
            "Messages each copy is behind its origin, and the last contact (nats_stream_source_lag, "
            "nats_stream_source_last_active_timestamp_seconds). No data without mirrors or sources.",
            _SOURCE,
            [
                (
                    Column("lag", limits=[Limit(thresholds.SOURCE_LAG, WARN)], decimals=0),
                    Line(_of(streams.SOURCE_LAG).max(*_SOURCE, "type")),
                ),
                (Column("last contact", unit="s"), Line(_of(streams.SOURCE_ACTIVE).age().max(*_SOURCE))),
                (Column("error", states=_NO_YES), Line(_of(streams.SOURCE_ERROR).max(*_SOURCE))),
            ],
            labels={"type": "type"},
            sort="lag",
            width=10,
            height=8,
        ),
        table(
            "Account tiers",
            "Usage, reservations and limits by number of replicas (nats_account_tier_…). No data without limits per tier.",
            ["tier"],
            [
                (Column("file storage", unit="bytes"), Line(shown(account.TIER_STORAGE).max("tier"))),
                (Column("reserved", unit="bytes"), Line(shown(account.TIER_RESERVED_STORAGE).max("tier"))),
                (
                    Column("file full", unit="percentunit", limits=_FULL),
                    _full(account.TIER_STORAGE, account.TIER_STORAGE_LIMIT),
                ),
                (Column("memory", unit="bytes"), Line(shown(account.TIER_MEMORY).max("tier"))),
                (Column("memory reserved", unit="bytes"), Line(shown(account.TIER_RESERVED_MEMORY).max("tier"))),
                (
                    Column("memory full", unit="percentunit", limits=_FULL),
                    _full(account.TIER_MEMORY, account.TIER_MEMORY_LIMIT),
                ),
                (Column("streams", decimals=0), Line(shown(account.TIER_STREAMS).max("tier"))),
                (Column("max streams", decimals=0), Line(shown(account.TIER_STREAM_LIMIT).max("tier"))),
                (Column("consumers", decimals=0), Line(shown(account.TIER_CONSUMERS).max("tier"))),
                (Column("max consumers", decimals=0), Line(shown(account.TIER_CONSUMER_LIMIT).max("tier"))),
            ],
            width=24,
            height=5,
        ),
    ],
    collapsed=True,
)
