"""ValKey: unreachable, full, or losing data."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, Severity
from alerts.rules import sources
from alerts.thresholds import VALKEY_MEMORY_RATIO
from exporter.metrics.promql import series
from exporter.sources.valkey import info as valkey
from exporter.sources.valkey import modes

_SERVER = ("server",)
_WHICH = "{{ $labels.server }}"

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "ValkeyDown",
        "valkey",
        Component.VALKEY,
        "ValKey is unreachable",
        DashboardUid.VALKEY,
        variables=_SERVER,
        catches="A ValKey server that is down, loads its data after a crash, or has a new password.",
    ),
    AlertingRule(
        name="ValkeyMemoryNearLimit",
        # maxmemory is 0 if there is no limit; `share_of` has no result then.
        query=series(valkey.MEMORY_USED).max_over("5m").share_of(series(valkey.MEMORY_MAX)) >= VALKEY_MEMORY_RATIO,
        severity=Severity.WARNING,
        component=Component.VALKEY,
        summary="ValKey memory is nearly full",
        catches="Keys without expiry that fill maxmemory, while there is time to raise it.",
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
        catches="Permanent data that ValKey deletes because maxmemory is reached with an eviction policy.",
        description=f"{_WHICH} evicted {COUNT} keys in the last 10 minutes; the fleet stores data there that has no other "
        "copy.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
    ),
    AlertingRule(
        name="ValkeyRejectingConnections",
        query=series(valkey.REJECTED).increase("5m") > 0,
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey is rejecting connections",
        catches="A service that leaks connections until maxclients is reached and others cannot connect.",
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
        catches="A full disk: snapshots fail, and a restart loses all writes since the last one.",
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
        catches="A replica with an outdated password or behind a network partition; a failover to it would lose writes.",
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
        catches="Hash slots without a primary; commands on some keys fail although all servers are up.",
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
        catches="A primary that the Sentinels consider down and have not replaced.",
        description="The Sentinel {{ $labels.server }} has reported {{ $labels.master }} objectively down for 2 "
        "minutes; no failover has replaced it.",
        view=DashboardUid.VALKEY,
        variables=_SERVER,
        for_="2m",
    ),
)
