"""ValKey: down, full, or not keeping what it is given."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Recording, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import HIT_RATIO, LOOKUPS_A_SECOND, VALKEY_MEMORY_RATIO
from alerts.view import View
from exporter.metrics.promql import series
from exporter.sources.valkey import info as valkey

_SERVER = ("server",)
_WHICH = "{{ $labels.server }}"

LOOKUPS: Final = Recording(
    name="fleet:valkey_lookups:rate10m",
    query=(series(valkey.HITS).rate("10m") + series(valkey.MISSES).rate("10m")).without("sum"),
    meaning="Lookups of keys a second, found or not.",
)
HIT_SHARE: Final = Recording(
    name="fleet:valkey_hits:ratio10m",
    query=series(valkey.HITS).rate("10m").without("sum").share_of(LOOKUPS.query),
    meaning="Share of the lookups that found the key.",
)
RECORDINGS: Final = (LOOKUPS, HIT_SHARE)

RULES: Final[tuple[Rule, ...]] = (
    sources.down("ValkeyDown", "valkey", Component.VALKEY, "ValKey cannot be read", View.VALKEY, variables=_SERVER),
    Rule(
        name="ValkeyMemoryNearLimit",
        # maxmemory is 0 where there is none, and `share_of` asks for more than that.
        query=series(valkey.MEMORY_USED).max_over("5m").share_of(series(valkey.MEMORY_MAX)) >= VALKEY_MEMORY_RATIO,
        severity=Severity.WARNING,
        component=Component.VALKEY,
        summary="ValKey has little memory left",
        description=f"{_WHICH} uses {{{{ $value | humanizePercentage }}}} of its maxmemory.",
        view=View.VALKEY,
        variables=_SERVER,
        limits=("VALKEY_MEMORY_RATIO",),
        lasting="5m",
    ),
    Rule(
        name="ValkeyEvicting",
        query=series(valkey.EVICTED).increase("10m") > 0,
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey throws away keys for lack of memory",
        description=f"Keys that {_WHICH} has thrown away in ten minutes: {COUNT}. The fleet keeps data there "
        "that is nowhere else.",
        view=View.VALKEY,
        variables=_SERVER,
    ),
    Rule(
        name="ValkeyHitRatioLow",
        query=(HIT_SHARE.series < HIT_RATIO) & (LOOKUPS.series > LOOKUPS_A_SECOND),
        severity=Severity.INFO,
        component=Component.VALKEY,
        summary="ValKey seldom has what is asked for",
        description=f"{{{{ $value | humanizePercentage }}}} of the lookups at {_WHICH} find their key.",
        view=View.VALKEY,
        variables=_SERVER,
        limits=("HIT_RATIO", "LOOKUPS_A_SECOND"),
        lasting="15m",
    ),
    Rule(
        name="ValkeyRejectingConnections",
        query=series(valkey.REJECTED).increase("5m") > 0,
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey refuses connections",
        description=f"{_WHICH} has as many clients as maxclients allows. Connections refused in five minutes: {COUNT}.",
        view=View.VALKEY,
        variables=_SERVER,
        kept="5m",
    ),
    Rule(
        name="ValkeyPersistenceFailing",
        query=series(valkey.PERSISTENCE_OK).max_over("5m").equals(0),
        severity=Severity.CRITICAL,
        component=Component.VALKEY,
        summary="ValKey cannot write its data to disk",
        description=f"The last {{{{ $labels.operation }}}} of {_WHICH} failed; a restart would lose what came after the "
        "last good one.",
        view=View.VALKEY,
        variables=_SERVER,
        lasting="1m",
    ),
    Rule(
        name="ValkeyReplicationBroken",
        query=series(valkey.MASTER_LINK_UP).max_over("2m").equals(0),
        severity=Severity.WARNING,
        component=Component.VALKEY,
        summary="A ValKey replica has lost its master",
        description=f"The replica {_WHICH} has no link to its master and serves data that gets older.",
        view=View.VALKEY,
        variables=_SERVER,
        lasting="3m",
    ),
)
