"""ValKey: unreachable, full, or losing data."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, RecordingRule, Severity
from alerts.rules import sources
from alerts.thresholds import HIT_RATIO, LOOKUPS_A_SECOND, VALKEY_MEMORY_RATIO
from exporter.metrics.promql import series
from exporter.sources.valkey import info as valkey
from exporter.sources.valkey import modes

_SERVER = ("server",)
_WHICH = "{{ $labels.server }}"

LOOKUPS: Final = RecordingRule(
    name="fleet:valkey_lookups:rate10m",
    query=(series(valkey.HITS).rate("10m") + series(valkey.MISSES).rate("10m")).without("sum"),
    meaning="Key lookups per second, hits and misses.",
)
HIT_SHARE: Final = RecordingRule(
    name="fleet:valkey_hits:ratio10m",
    query=series(valkey.HITS).rate("10m").without("sum").share_of(LOOKUPS.query),
    meaning="Share of key lookups that hit.",
)
RECORDINGS: Final = (LOOKUPS, HIT_SHARE)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down("ValkeyDown", "valkey", Component.VALKEY, "ValKey is unreachable", DashboardUid.VALKEY, variables=_SERVER),
    AlertingRule(
        name="ValkeyMemoryNearLimit",
        # maxmemory is 0 if there is no limit; `share_of` has no result then.
        query=series(valkey.MEMORY_USED).max_over("5m").share_of(series(valkey.MEMORY_MAX)) >= VALKEY_MEMORY_RATIO,
        severity=Severity.WARNING,
        component=Component.VALKEY,
        summary="ValKey memory is nearly full",
        description=f"{_WHICH} uses {{{{ $value | humanizePercentage }}}} of its maxmemory.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        limits=("VALKEY_MEMORY_RATIO",),
        for_="5m",
    ),
    AlertingRule(
        name="ValkeyEvicting",
        query=series(valkey.EVICTED).increase("10m") > 0,
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey is evicting keys",
        description=f"{_WHICH} evicted {COUNT} keys in the last 10 minutes; the fleet stores data there that has no other "
        "copy.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
    ),
    AlertingRule(
        name="ValkeyHitRatioLow",
        query=(HIT_SHARE.series < HIT_RATIO) & (LOOKUPS.series > LOOKUPS_A_SECOND),
        severity=Severity.INFO,
        component=Component.VALKEY,
        summary="ValKey cache hit ratio is low",
        description=f"{_WHICH} has a cache hit ratio of {{{{ $value | humanizePercentage }}}}.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        limits=("HIT_RATIO", "LOOKUPS_A_SECOND"),
        for_="15m",
    ),
    AlertingRule(
        name="ValkeyRejectingConnections",
        query=series(valkey.REJECTED).increase("5m") > 0,
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey is rejecting connections",
        description=f"{_WHICH} reached maxclients and rejected {COUNT} connections in the last 5 minutes.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="ValkeyPersistenceFailing",
        query=series(valkey.PERSISTENCE_OK).max_over("5m").equals(0),
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey persistence is failing",
        description=f"{_WHICH} failed its last {{{{ $labels.operation }}}}; a restart loses the writes since the last "
        "successful one.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        for_="1m",
    ),
    AlertingRule(
        name="ValkeyReplicationBroken",
        query=series(valkey.MASTER_LINK_UP).max_over("2m").equals(0),
        severity=Severity.WARNING,
        component=Component.VALKEY,
        summary="ValKey replica has lost its primary",
        description=f"Replica {_WHICH} has no link to its primary and serves stale data.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        for_="3m",
    ),
    AlertingRule(
        name="ValkeyClusterDown",
        query=series(modes.CLUSTER_OK).equals(0),
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey cluster is down",
        description=f"{_WHICH} has reported cluster_state fail for 2 minutes; commands on keys of unserved hash slots fail.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        for_="2m",
    ),
    AlertingRule(
        name="ValkeySentinelMasterDown",
        query=series(modes.MASTER_STATUS, state="odown").equals(1),
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="Sentinel reports a master down",
        description="The Sentinel {{ $labels.server }} has reported {{ $labels.master }} objectively down for 2 "
        "minutes; no failover has replaced it.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        for_="2m",
    ),
)
