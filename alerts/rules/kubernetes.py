"""The fleet's workloads, as reported by the Kubernetes API."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, Severity
from alerts.rules import sources
from exporter.metrics.promql import like, series
from exporter.sources.workloads import samples as workloads

_WORKLOAD = ("namespace", "workload")
_WHICH = "{{ $labels.namespace }}/{{ $labels.workload }}"
# Absent and down both have no ready pod. A degraded workload has one, such as a rollout whose new pod loads a model for 10
# minutes, which must not page. The first ready pod ends the alert at once, and a failed scrape does not.
_NONE_READY = series(workloads.EXPECTED, state=like("up|degraded")).max_over("2m").without("max", "state").equals(0)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "WorkloadsUnreadable",
        "workloads",
        Component.KUBERNETES,
        "Kubernetes API cannot be read",
        DashboardUid.OVERVIEW,
        catches="A role binding that was removed, so that dead workloads are no longer reported.",
    ),
    AlertingRule(
        name="WorkloadDown",
        query=_NONE_READY,
        severity=Severity.CRITICAL,
        component=Component.KUBERNETES,
        summary="Expected workload is down",
        catches="A required Deployment that was deleted, or whose only pod does not start.",
        description=f"{_WHICH} is configured as expected but has had no ready pod for 5 minutes.",
        view=DashboardUid.OVERVIEW,
        variables=_WORKLOAD,
        for_="5m",
    ),
    AlertingRule(
        name="WorkloadNotReady",
        # Alertmanager mutes this alert while WorkloadDown fires. Excluding `down` here would miss a workload that alternates
        # between degraded and down.
        query=series(workloads.STATUS, state=like("degraded|down")).max_over("2m").without("max", "state").equals(1),
        severity=Severity.WARNING,
        component=Component.KUBERNETES,
        summary="Workload has fewer ready pods than desired",
        catches="A rollout that is stuck: the new pod never becomes ready and the old ones carry the load.",
        description=f"{{{{ $labels.kind }}}} {_WHICH} has had fewer ready pods than desired for 15 minutes.",
        view=DashboardUid.OVERVIEW,
        variables=_WORKLOAD,
        for_="15m",
    ),
    AlertingRule(
        name="PodCrashLooping",
        query=series(workloads.WAITING, reason="CrashLoopBackOff").max_over("5m") > 0,
        severity=Severity.WARNING,
        component=Component.KUBERNETES,
        summary="Container is crash-looping",
        catches="A container that fails at startup, such as after a missing secret, next to replicas that still work.",
        description=f"{{{{ $labels.kind }}}} {_WHICH} has {COUNT} containers in CrashLoopBackOff.",
        view=DashboardUid.OVERVIEW,
        variables=_WORKLOAD,
        for_="10m",  # a container that fails twice while its backend starts is not in a loop
    ),
)
