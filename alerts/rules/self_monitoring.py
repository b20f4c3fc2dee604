"""The exporter itself: availability, sources, and gaps or lag in the event stream."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, Severity
from alerts.rules import sources
from alerts.thresholds import EVENTS_BEHIND, EXPORTER_JOB, UNPARSED_MESSAGES, WATCHER_RESTARTS
from exporter.metrics import process
from exporter.metrics.metric import gauge
from exporter.metrics.promql import REPLICA_LABELS, Expression, like, series
from exporter.scrape import state as scrape
from exporter.source import LIMIT_HITS
from exporter.sources import loki
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import DROPPED, POSITION, SKIPPED, STREAM_LAG, STREAM_MODE
from exporter.sources.jetstream import streams as nats_streams

_UP = series(gauge("up", "Whether the last scrape of a target succeeded."), job=like(EXPORTER_JOB))
_UNSCRAPED = _UP.max_over("3m").equals(0)
_NONE_SCRAPED = _UP.max_over("3m").without("max").equals(0)
_READ = series(POSITION)
_STREAM = ("stream",)

# Only exporters that share the fleet; an unsharded one reports one shard, and may have replicas.
_SHARES = series(process.SHARD) & (series(process.SHARDS) > 1)
_SHARDS = (series(process.SHARDS) > 1).without("max")
_SHARDS_THERE = Expression(
    f'count without (shard) (count_values without ({", ".join(REPLICA_LABELS)}) ("shard", {_SHARES.text}))',
    _SHARES.labels.difference(REPLICA_LABELS),
)
"""Number of distinct shards that are running."""

RULES: Final[tuple[AlertingRule, ...]] = (
    AlertingRule(
        name="Watchdog",
        query=Expression("vector(1)", frozenset()),
        severity=Severity.NONE,
        component=Component.EXPORTER,
        summary="Alert delivery works",
        catches="Prometheus or Alertmanager that stopped; without this heartbeat, silence would look healthy.",
        description="This alert always fires. If it stops, Prometheus or Alertmanager is not working.",
        view=DashboardUid.OVERVIEW,
    ),
    AlertingRule(
        name="FleetExporterDown",
        # If other instances of the job respond, the alert has an `instance`: Alertmanager mutes all other alerts for one
        # without. A job that was never discovered has no `up`; 10 minutes is longer than any rollout.
        query=_UNSCRAPED.unless(_NONE_SCRAPED, ignoring=REPLICA_LABELS) | _NONE_SCRAPED | _UP.absent("10m"),
        severity=Severity.CRITICAL,
        component=Component.EXPORTER,
        summary="Fleet exporter cannot be scraped",
        catches="An exporter that crashes at startup after a bad configuration change, or a deleted ServiceMonitor.",
        description="{{ with $labels.instance }}No scrape of {{ . }} has succeeded for 5 minutes; other instances of the "
        "job respond, and the metrics of this one are missing{{ else }}{{ with $labels.job }}No scrape of {{ . }} has "
        "succeeded for 5 minutes{{ else }}Prometheus has had no target of the job for 10 minutes{{ end }}; fleet metrics "
        "are unavailable{{ end }}.",
        view=DashboardUid.EXPORTER,
        limits=("EXPORTER_JOB",),
        for_="2m",
        down=True,
        by_instance=True,
    ),
    AlertingRule(
        name="FleetShardMissing",
        query=_SHARDS_THERE < _SHARDS,
        severity=Severity.CRITICAL,
        component=Component.EXPORTER,
        summary="Exporter shard is missing",
        catches="A shard that was never deployed or was scaled to zero; its RayJobs and streams disappear from all "
        "dashboards.",
        description=f"{{{{ $labels.job }}}} has {COUNT} shards running, fewer than configured; the RayJobs, streams and "
        "consumers of the missing shards are not monitored.",
        view=DashboardUid.EXPORTER,
        for_="10m",
    ),
    AlertingRule(
        name="FleetShardDoubled",
        query=_SHARES.without("count") > _SHARDS_THERE,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Exporter shard runs more than once",
        catches="Two replicas with the same shard number, for example after a copied values file; sums are doubled.",
        description=f"{{{{ $labels.job }}}} has {COUNT} sharded exporters, more than there are shards; some objects are "
        "counted twice.",
        view=DashboardUid.EXPORTER,
        for_="10m",
    ),
    AlertingRule(
        name="FleetSourceDown",
        # Sources without a separate alert. Only Loki needs NATS.
        query=sources.unread("services")
        | sources.unread("loki").unless(sources.unread("jetstream"), ignoring=sources.ELSEWHERE),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Source cannot be read",
        catches="A Loki that rejects every push after its token was rotated.",
        description="{{ $labels.source }} {{ $labels.server }} has been unreadable for 2 minutes; "
        "fleet_exporter_source_failure has the reason.",
        view=DashboardUid.EXPORTER,
        for_="1m",
        keep_firing_for="2m",
    ),
    AlertingRule(
        name="FleetSeriesDropped",
        query=series(scrape.DROPPED).max_over("5m") > 0,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Source exceeds its series limit",
        catches="A source that outgrew max_series, for example by 20 000 RayJobs; the newest objects are not monitored.",
        description=f"{{{{ $labels.source }}}} {{{{ $labels.server }}}} has {COUNT} series over its limit; they are not "
        "exported.",
        view=DashboardUid.EXPORTER,
        for_="5m",
    ),
    AlertingRule(
        name="FleetExporterWatcherCrashLooping",
        query=series(scrape.RESTARTS).increase("1h") >= WATCHER_RESTARTS,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Watcher is crash-looping",
        catches="A watch that exits repeatedly because of one object or file; the source is up between restarts, so it "
        "never counts as down.",
        description=f"The watcher of {{{{ $labels.source }}}} exited {COUNT} times in the last hour; its data is delayed.",
        view=DashboardUid.EXPORTER,
        limits=("WATCHER_RESTARTS",),
    ),
    AlertingRule(
        name="FleetEventGap",
        query=series(SKIPPED).grown("15m"),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Events were deleted before they were read",
        catches="A burst that pushed events out of a small stream while the exporter restarted.",
        description="Stream {{ $labels.stream }} deleted messages before the exporter read them; metrics and agent states "
        "are incomplete.",
        view=DashboardUid.EXPORTER,
        variables=_STREAM,
    ),
    AlertingRule(
        name="FleetEventsDropped",
        query=series(DROPPED).grown("15m"),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Events were dropped by the NATS client",
        catches="An exporter that is short of CPU during a burst on a work-queue stream; these events cannot be read again.",
        description="The NATS client dropped messages because the exporter read them too slowly; metrics and agent states "
        "are incomplete.",
        view=DashboardUid.EVENTS,
    ),
    AlertingRule(
        name="FleetExporterEventLagHigh",
        query=series(STREAM_LAG).min_over("5m") >= EVENTS_BEHIND,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Event lag is high",
        catches="An exporter that reads slower than agents publish; dashboards are several minutes behind.",
        description=f"The exporter has at least {COUNT} unread messages of {{{{ $labels.stream }}}}; agent states are "
        "outdated.",
        view=DashboardUid.EXPORTER,
        variables=_STREAM,
        limits=("EVENTS_BEHIND",),
        for_="5m",
    ),
    AlertingRule(
        name="FleetEventsStalled",
        query=(series(nats_streams.LAST).delta("10m").without("max") > 0)
        & _READ.delta("10m").without("max").equals(0),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Stream events are not being read",
        catches="A subscription that NATS silently stopped serving; the connection is up and no lag is reported.",
        description=f"{{{{ $labels.stream }}}} received {COUNT} messages in the last 10 minutes, and the exporter has read "
        "none.",
        view=DashboardUid.EXPORTER,
        variables=_STREAM,
        for_="5m",
    ),
    AlertingRule(
        name="FleetStreamRefused",
        query=series(STREAM_MODE, mode="refused").equals(1),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="NATS refuses to let the exporter read a stream",
        catches="A permission that a new stream lacks, or a stream at its consumer limit; its agents are missing, and "
        "no other alert fires.",
        description="NATS does not let the exporter read {{ $labels.stream }}; its events are missing.",
        view=DashboardUid.EXPORTER,
        variables=_STREAM,
        for_="5m",
    ),
    AlertingRule(
        name="FleetEventsUnparsed",
        query=series(fleet.UNPARSED).increase("15m") >= UNPARSED_MESSAGES,
        severity=Severity.INFO,
        component=Component.EXPORTER,
        summary="Unparseable event messages",
        catches="A service that started to publish another payload format after a deployment.",
        description=f"{COUNT} messages of the last 15 minutes could not be parsed ({{{{ $labels.reason }}}}).",
        view=DashboardUid.EVENTS,
        limits=("UNPARSED_MESSAGES",),
    ),
    AlertingRule(
        name="FleetExporterCardinalityLimit",
        query=series(LIMIT_HITS).grown("1h"),
        severity=Severity.INFO,
        component=Component.EXPORTER,
        summary="Cardinality limit reached",
        catches="Agents with random names, which evict each other from the list of agents.",
        description="The limit for {{ $labels.kind }} was reached; the oldest are dropped, or new names are counted as "
        "`other`.",
        view=DashboardUid.EXPORTER,
    ),
    AlertingRule(
        name="FleetExporterLokiLagHigh",
        query=series(loki.PENDING).min_over("5m") >= EVENTS_BEHIND,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Loki forwarding lag is high",
        catches="A Loki that throttles the exporter; the events of an incident are not in the logs yet.",
        description=f"{{{{ $labels.stream }}}} has at least {COUNT} messages not yet forwarded to Loki; log panels lack "
        "recent events.",
        view=DashboardUid.EXPORTER,
        variables=_STREAM,
        limits=("EVENTS_BEHIND",),
        for_="5m",
    ),
    AlertingRule(
        name="FleetExporterLokiEntriesLost",
        query=series(loki.DROPPED).grown("15m") | series(loki.MISSED).grown("15m"),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Events are missing in Loki",
        catches="Entries older than Loki accepts after a long outage, or a stream that expired before it was forwarded.",
        description="Loki rejected entries of {{ $labels.stream }}, or the stream deleted messages before they were "
        "forwarded.",
        view=DashboardUid.EXPORTER,
        variables=_STREAM,
    ),
)  # fmt: skip
