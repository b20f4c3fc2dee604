"""The workloads that the fleet consists of, as the Kubernetes API has them."""

from __future__ import annotations

from typing import Final

from alerts.rule import Component, Rule, Severity
from alerts.rules import sources
from alerts.view import View
from exporter.promql import is_not, like, series
from exporter.sources.workloads import store as workloads

_WORKLOAD = ("namespace", "workload")
_WHICH = "{{ $labels.namespace }}/{{ $labels.workload }}"
# Without the state: one that goes from absent to degraded and down has been not up for all that time.
_NOT_UP = series(workloads.EXPECTED, state=is_not("up")).max_over("2m").without("max", "state").equals(1)

RULES: Final[tuple[Rule, ...]] = (
    sources.down("WorkloadsUnreadable", "workloads", Component.KUBERNETES, "Pods cannot be read", View.OVERVIEW),
    Rule(
        name="WorkloadDown",
        query=_NOT_UP,
        severity=Severity.CRITICAL,
        component=Component.KUBERNETES,
        summary="An expected workload is not up",
        description=f"{_WHICH}, which the configuration expects, has no pod, or pods that are not ready.",
        view=View.OVERVIEW,
        variables=_WORKLOAD,
        lasting="5m",
    ),
    Rule(
        name="WorkloadNotReady",
        # An expected workload has its own, stronger alert.
        query=series(workloads.STATUS, state=like("degraded|down")).max_over("2m").without("max", "state").equals(1).unless(
            _NOT_UP, ignoring=("kind",)
        ),
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
        description=f"{{{{ $value }}}} containers of {{{{ $labels.kind }}}} {_WHICH} wait in CrashLoopBackOff.",
        view=View.OVERVIEW,
        variables=_WORKLOAD,
        lasting="5m",
    ),
)  # fmt: skip
