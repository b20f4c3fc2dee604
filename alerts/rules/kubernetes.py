"""The workloads that the fleet consists of, as the Kubernetes API has them."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Rule, Severity
from alerts.rules import sources
from alerts.view import View
from exporter.metrics.promql import like, series
from exporter.sources.workloads import store as workloads

_WORKLOAD = ("namespace", "workload")
_WHICH = "{{ $labels.namespace }}/{{ $labels.workload }}"
# Without the state: one that goes from absent to down has had no pod that is ready for all that time. A degraded one has;
# a rollout whose new pod loads a model for ten minutes is one, and wakes nobody.
_NONE_READY = series(workloads.EXPECTED, state=like("down|absent")).max_over("2m").without("max", "state").equals(1)

RULES: Final[tuple[Rule, ...]] = (
    sources.down("WorkloadsUnreadable", "workloads", Component.KUBERNETES, "Pods cannot be read", View.OVERVIEW),
    Rule(
        name="WorkloadDown",
        query=_NONE_READY,
        severity=Severity.CRITICAL,
        component=Component.KUBERNETES,
        summary="An expected workload is down",
        description=f"{_WHICH}, which the configuration expects, has no pod that is ready, or no pod at all.",
        view=View.OVERVIEW,
        variables=_WORKLOAD,
        lasting="5m",
    ),
    Rule(
        name="WorkloadNotReady",
        # Where WorkloadDown tells it more strongly, Alertmanager mutes this one: left out here, one that goes to and fro
        # between degraded and down would be told by neither.
        query=series(workloads.STATUS, state=like("degraded|down")).max_over("2m").without("max", "state").equals(1),
        severity=Severity.WARNING,
        component=Component.KUBERNETES,
        summary="A workload has pods that are not ready",
        description=f"{{{{ $labels.kind }}}} {_WHICH} has had pods that are not ready for a quarter of an hour.",
        view=View.OVERVIEW,
        variables=_WORKLOAD,
        lasting="15m",
    ),
    Rule(
        name="PodCrashLooping",
        query=series(workloads.WAITING, reason="CrashLoopBackOff").max_over("5m") > 0,
        severity=Severity.WARNING,
        component=Component.KUBERNETES,
        summary="A container starts and fails again and again",
        description=f"Containers of {{{{ $labels.kind }}}} {_WHICH} that wait in CrashLoopBackOff: {COUNT}.",
        view=View.OVERVIEW,
        variables=_WORKLOAD,
        lasting="10m",  # what fails twice since its backend was not there yet, and then runs, is no loop
    ),
)  # fmt: skip
