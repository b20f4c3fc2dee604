"""The exporter itself: whether it is there, reads everything, and follows the events without a gap."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import EVENTS_BEHIND, EXPORTER_JOB, FOLLOWER_RESTARTS, UNPARSED_MESSAGES
from alerts.view import View
from exporter import scrape
from exporter.metrics import process
from exporter.metrics.metric import gauge
from exporter.metrics.promql import REPLICA_LABELS, Expression, like, series
from exporter.sources import journal
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import DROPPED, FOLLOWED, POSITION, SKIPPED, UNREAD
from exporter.sources.jetstream import streams as nats_streams

_UP = series(gauge("up", "Whether the last scrape of a target succeeded."), job=like(EXPORTER_JOB))
_UNSCRAPED = _UP.max_over("3m").equals(0)
_NONE_SCRAPED = _UP.max_over("3m").without("max").equals(0)
_READ = series(POSITION)
_STREAM = ("stream",)

# Exporters that divide the fleet; one that has it to itself says that it is one of one, and may have others beside it.
_SHARES = series(process.SHARD) & (series(process.SHARDS) > 1)
_SHARDS = (series(process.SHARDS) > 1).without("max")
_SHARDS_THERE = Expression(
    f'count without (shard) (count_values without ({", ".join(REPLICA_LABELS)}) ("shard", {_SHARES.text}))',
    _SHARES.labels.difference(REPLICA_LABELS),
)
"""How many different numbers of shards there are, however often each."""

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="Watchdog",
        query=Expression("vector(1)", frozenset()),
        severity=Severity.NONE,
        component=Component.EXPORTER,
        summary="Alerts are evaluated and sent",
        description="This alert always fires; who receives it knows that Prometheus and Alertmanager work, and that they do "
        "not when it stops.",
        view=View.OVERVIEW,
    ),
    Rule(
        name="FleetExporterDown",
        # Where others of the job answer, only the one that does not is named: Alertmanager mutes all else for an alert that
        # names none. A job that was never found has no `up`; that takes ten minutes, when no rollout explains it.
        query=_UNSCRAPED.unless(_NONE_SCRAPED, ignoring=REPLICA_LABELS) | _NONE_SCRAPED | _UP.absent("10m"),
        severity=Severity.CRITICAL,
        component=Component.EXPORTER,
        summary="The fleet exporter cannot be scraped",
        description="{{ with $labels.instance }}No scrape of {{ . }} has succeeded for five minutes; other exporters of the "
        "job answer, and what this one reads is not known{{ else }}{{ with $labels.job }}No scrape of {{ . }} has succeeded "
        "for five minutes{{ else }}Prometheus has had no target of the job for ten minutes{{ end }}; nothing else about the "
        "fleet can be told{{ end }}.",
        view=View.EXPORTER,
        limits=("EXPORTER_JOB",),
        lasting="2m",
        down=True,
        told_by_replica=True,
    ),
    Rule(
        name="FleetShardMissing",
        query=_SHARDS_THERE < _SHARDS,
        severity=Severity.CRITICAL,
        component=Component.EXPORTER,
        summary="A part of the fleet is read by no exporter",
        description=f"Shards of {{{{ $labels.job }}}} that are there: {COUNT}, fewer than divide the fleet; the RayJobs, "
        "streams and consumers of the others are not watched.",
        view=View.EXPORTER,
        lasting="10m",
    ),
    Rule(
        name="FleetShardDoubled",
        query=_SHARES.without("count") > _SHARDS_THERE,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Two exporters have the same part of the fleet",
        description=f"Exporters of {{{{ $labels.job }}}} that divide the fleet: {COUNT}, more than there are shards; what "
        "two of them read is counted twice.",
        view=View.EXPORTER,
        lasting="10m",
    ),
    Rule(
        name="FleetSourceDown",
        # Sources that have no alert of their own: what they read is many things, or none of the fleet's. Only the journal
        # needs NATS.
        query=sources.unread("services")
        | sources.unread("journal").unless(sources.unread("jetstream"), ignoring=sources.ELSEWHERE),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="A source cannot be read",
        description="{{ $labels.source }} {{ $labels.server }} could not be read for two minutes; "
        "fleet_exporter_source_failure names the reason.",
        view=View.EXPORTER,
        lasting="1m",
        kept="2m",
    ),
    Rule(
        name="FleetSeriesDropped",
        query=series(scrape.DROPPED).max_over("5m") > 0,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="A source has more series than it may",
        description=f"Series of {{{{ $labels.source }}}} {{{{ $labels.server }}}} that are left out of the page: {COUNT}.",
        view=View.EXPORTER,
        lasting="5m",
    ),
    Rule(
        name="FleetFollowerRestarting",
        query=series(scrape.RESTARTS).increase("1h") >= FOLLOWER_RESTARTS,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Following a backend ends again and again",
        description=f"Times that what follows {{{{ $labels.source }}}} has ended unexpectedly in an hour: {COUNT}.",
        view=View.EXPORTER,
        limits=("FOLLOWER_RESTARTS",),
    ),
    Rule(
        name="FleetEventGap",
        query=series(SKIPPED).grown("15m"),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Events were lost before they could be read",
        description="Messages of {{ $labels.stream }} were deleted from the stream before the exporter had read them.",
        view=View.EXPORTER,
        variables=_STREAM,
    ),
    Rule(
        name="FleetEventsDropped",
        query=series(DROPPED).grown("15m"),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Events came faster than they could be read",
        description="The connection to NATS dropped messages that the exporter did not take in time.",
        view=View.EVENTS,
    ),
    Rule(
        name="FleetEventsBehind",
        query=series(UNREAD).min_over("5m") >= EVENTS_BEHIND,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="The exporter is behind with reading events",
        description=f"Messages of {{{{ $labels.stream }}}} that are still to be read: {COUNT}, or more.",
        view=View.EXPORTER,
        variables=_STREAM,
        limits=("EVENTS_BEHIND",),
        lasting="5m",
    ),
    Rule(
        name="FleetEventsStalled",
        query=(series(nats_streams.LAST).delta("10m").without("max") > 0)
        & _READ.delta("10m").without("max").equals(0),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="A stream grows and its events are not read",
        description=f"Messages that {{{{ $labels.stream }}}} has got in ten minutes: {COUNT}. The exporter has read none of "
        "them.",
        view=View.EXPORTER,
        variables=_STREAM,
        lasting="5m",
    ),
    Rule(
        name="FleetStreamRefused",
        query=series(FOLLOWED, how="refused").equals(1),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="The exporter may not read a stream",
        description="NATS refuses the exporter's account the subjects of {{ $labels.stream }}.",
        view=View.EXPORTER,
        variables=_STREAM,
        lasting="5m",
    ),
    Rule(
        name="FleetEventsUnparsed",
        query=series(fleet.UNPARSED).increase("15m") >= UNPARSED_MESSAGES,
        severity=Severity.INFO,
        component=Component.EXPORTER,
        summary="Messages are no events",
        description=f"Messages of a quarter of an hour that are no events ({{{{ $labels.reason }}}}): {COUNT}.",
        view=View.EVENTS,
        limits=("UNPARSED_MESSAGES",),
    ),
    Rule(
        name="FleetCapReached",
        query=series(fleet.REFUSED).grown("1h"),
        severity=Severity.INFO,
        component=Component.EXPORTER,
        summary="The exporter no longer tells everything apart",
        description="There is more of the kind {{ $labels.kind }} than the exporter keeps; the oldest is forgotten, or new "
        "names count as `other`.",
        view=View.EXPORTER,
    ),
    Rule(
        name="JournalBehind",
        query=series(journal.PENDING).min_over("5m") >= EVENTS_BEHIND,
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="The copy of events to Loki is behind",
        description=f"Messages of {{{{ $labels.stream }}}} that are still to be copied: {COUNT}, or more.",
        view=View.EXPORTER,
        variables=_STREAM,
        limits=("EVENTS_BEHIND",),
        lasting="5m",
    ),
    Rule(
        name="JournalLosing",
        query=series(journal.DROPPED).grown("15m") | series(journal.MISSED).grown("15m"),
        severity=Severity.WARNING,
        component=Component.EXPORTER,
        summary="Events are missing from Loki",
        description="Events of {{ $labels.stream }} were refused by Loki, or deleted from their stream before they were "
        "copied.",
        view=View.EXPORTER,
        variables=_STREAM,
    ),
)  # fmt: skip
