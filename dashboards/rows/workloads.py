"""Rows about workloads: pods, requested and used resources, versions."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import PrometheusTarget, labelled, selector, variable
from dashboards.rows.common import coded
from exporter.metrics import process
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Query, Series
from exporter.sources.jetstream import account as nats_account
from exporter.sources.neo4j import counts as neo4j
from exporter.sources.rayjob import clusters
from exporter.sources.valkey import info as valkey
from exporter.sources.workloads import samples as workloads

STATES: Final = {"1": ("down", BAD), "2": ("degraded", WARN), "3": ("up", OK), "4": ("absent", BAD), "5": ("unknown", QUIET)}
"""Texts and colors for the state of a group: backends, services, workloads."""

_RESOURCES = [FieldOverride("limit", color=QUIET), FieldOverride("requested", color=ACCENT), FieldOverride("used", color=OK)]
_WORKLOAD = ("namespace", "workload")
_WHO = ("namespace", "kind", "workload")
_GONE = "no data without metrics-server"


def _workload(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, namespace=variable("namespace"), workload=variable("workload"), **matchers)


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(_workload(metric).max(*_WHO))


def _version(component: str, info: Metric) -> Query:
    return labelled(selector(info).max("version"), "component", component)


_status = coded(
    workloads.STATUS, ("down", "degraded", "up"), *_WHO, namespace=variable("namespace"), workload=variable("workload")
)
EXPECTED: Final = coded(
    workloads.EXPECTED, ("down", "degraded", "up", "absent"), *_WORKLOAD, namespace=variable("namespace")
)
"""The expected workloads, with values as in `STATES`."""

TABLE: Final = table(
    "Workloads",
    "Workloads: pod readiness, uptime, and restarts in the last hour (fleet_workload_*).",
    _WHO,
    [
        (FieldOverride("state", states={code: STATES[code] for code in "123"}, width=90), PrometheusTarget(_status)),
        (FieldOverride("ready", decimals=0, width=60), _each(workloads.READY)),
        (FieldOverride("desired", decimals=0, width=70), _each(workloads.DESIRED)),
        (FieldOverride("pods", decimals=0, width=60), PrometheusTarget(_workload(workloads.PODS).sum(*_WHO))),
        (FieldOverride("uptime", unit="s"), PrometheusTarget(_workload(workloads.STARTED).age().max(*_WHO))),
        (
            FieldOverride("restarts", decimals=0, limits=[Threshold(1, WARN)]),
            PrometheusTarget(_workload(workloads.RESTARTS).increase("1h").sum(*_WHO)),
        ),
    ],
    key_columns=[
        FieldOverride("namespace", links=[Link("Ray jobs", DashboardUid.RAY_JOBS, {"namespace": "namespace"})]),
        FieldOverride("workload", links=[Link("Calls", DashboardUid.COMMUNICATIONS, {"service": "workload"})]),
    ],
    sort="state",
    descending=False,
    width=24,
    height=10,
)

_RESOURCE_TABLE = table(
    "Workload resources",
    f"Requested and used resources of each workload (fleet_workload_*); used: {_GONE}.",
    _WHO,
    [
        (FieldOverride("available", decimals=0, width=80), _each(workloads.AVAILABLE)),
        (FieldOverride("CPU requested", decimals=2), _each(workloads.CPU_REQUESTED)),
        (FieldOverride("CPU used", decimals=2), _each(workloads.CPU_USED)),
        (FieldOverride("memory requested", unit="bytes"), _each(workloads.MEMORY_REQUESTED)),
        (FieldOverride("memory used", unit="bytes"), _each(workloads.MEMORY_USED)),
        (FieldOverride("GPUs", decimals=0, width=60), _each(workloads.GPUS)),
    ],
    key_columns=[
        FieldOverride("workload", links=[Link("Only this workload", DashboardUid.OVERVIEW, {"workload": "workload"})])
    ],
    sort="memory used",
    width=24,
    height=9,
    rows=25,
)

RESOURCES: Final = Row(
    "Resources",
    [
        graph(
            "CPU",
            "CPU cores: limits, requests and usage of workloads, and requests of RayClusters (fleet_workload_cpu_*, "
            f"ray_cluster_desired_cpu_cores); used: {_GONE}.",
            PrometheusTarget(_workload(workloads.CPU_LIMIT).sum(), "limit"),
            PrometheusTarget(_workload(workloads.CPU_REQUESTED).sum(), "requested"),
            PrometheusTarget(_workload(workloads.CPU_USED).sum(), "used"),
            PrometheusTarget(selector(clusters.CLUSTER_CPU).sum(), "requested by Ray"),
            unit="locale",
            columns=_RESOURCES,
        ),
        graph(
            "Memory",
            "Memory: limits, requests and usage of workloads, and requests of RayClusters (fleet_workload_memory_*, "
            f"ray_cluster_desired_memory_bytes); used: {_GONE}.",
            PrometheusTarget(_workload(workloads.MEMORY_LIMIT).sum(), "limit"),
            PrometheusTarget(_workload(workloads.MEMORY_REQUESTED).sum(), "requested"),
            PrometheusTarget(_workload(workloads.MEMORY_USED).sum(), "used"),
            PrometheusTarget(selector(clusters.CLUSTER_MEMORY).sum(), "requested by Ray"),
            unit="bytes",
            columns=_RESOURCES,
        ),
    ],
)
PODS: Final = Row(
    "Pods and versions",
    [
        _RESOURCE_TABLE,
        graph(
            "Waiting and terminated containers",
            "Waiting containers, containers that are or were terminated, and failed pods, by reason "
            "(fleet_workload_waiting_containers, fleet_workload_terminated_containers, fleet_workload_failed_pods).",
            PrometheusTarget(_workload(workloads.WAITING).sum("workload", "reason"), "{{workload}} waiting: {{reason}}"),
            PrometheusTarget(
                _workload(workloads.TERMINATED).sum("workload", "reason"), "{{workload}} terminated: {{reason}}"
            ),
            PrometheusTarget(
                _workload(workloads.FAILED_PODS).sum("workload", "reason"), "{{workload}} pod failed: {{reason}}"
            ),
            unit="locale",
            width=24,
        ),
        table(
            "Versions of backends",
            "Versions reported by the backends (nats_server_info, neo4j_info, valkey_server_info, "
            "fleet_exporter_build_info).",
            ["component", "version"],
            [
                (
                    FieldOverride("running", states={"1": ("yes", OK)}),
                    PrometheusTarget(
                        _version("NATS", nats_account.SERVER)
                        | _version("Neo4j", neo4j.INFO)
                        | _version("ValKey", valkey.SERVER_INFO)
                        | _version("Exporter", process.BUILD)
                    ),
                )
            ],
            sort="component",
            descending=False,
            width=8,
            height=8,
            key_columns=[FieldOverride("component", links=[Link("Exporter", DashboardUid.EXPORTER)])],
        ),
        table(
            "Versions of workloads",
            "Images of the workloads' pods (fleet_workload_image_info); two images of one workload indicate a rollout.",
            [*_WORKLOAD, "image", "version"],
            [
                (
                    FieldOverride("running", states={"1": ("yes", OK)}),
                    PrometheusTarget(_workload(workloads.IMAGE).max(*_WORKLOAD, "image", "version")),
                )
            ],
            sort="workload",
            descending=False,
            width=16,
            height=8,
            key_columns=[
                FieldOverride(
                    "workload", links=[Link("Only this workload", DashboardUid.OVERVIEW, {"workload": "workload"})]
                )
            ],
            rows=25,
        ),
    ],
    collapsed=True,
)
