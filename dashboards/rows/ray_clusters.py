"""Row about RayClusters: state, workers, and GPU capacity."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import BAD, OK, QUIET, UNKNOWN, WARN, YES_NO, FieldOverride, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, stat, table
from dashboards.grafana.queries import PrometheusTarget, selector, variable
from dashboards.rows.common import coded, worded
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.sources.rayjob import SERVED, clusters
from exporter.sources.workloads import samples as workloads

_CLUSTER = ("namespace", "raycluster")
_CONDITIONS = {
    "RayClusterProvisioned": "all pods ready",
    "HeadPodReady": "head ready",
    "ReplicaFailure": "replica failure",
}
_CLUSTER_STATES = {
    "New": ("new", QUIET),
    "ready": ("ready", OK),
    "suspended": ("suspended", WARN),
    "failed": ("failed", BAD),
    "other": ("unknown", UNKNOWN),
}


def _cluster(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, namespace=variable("namespace"), **matchers)


def _workers(what: str) -> PrometheusTarget:
    return PrometheusTarget(_cluster(clusters.WORKERS[what]).max(*_CLUSTER), f"{{{{raycluster}}}} {what}")


_PODS = Link("Pods", DashboardUid.OVERVIEW, {"namespace": "namespace"})

CLUSTERS: Final = Row(
    "Capacity",
    [
        table(
            "RayClusters",
            "State, workers and conditions of each RayCluster (ray_cluster_state, "
            "ray_cluster_workers_*, ray_cluster_condition).",
            _CLUSTER,
            [
                (
                    FieldOverride("state", states=worded(_CLUSTER_STATES)),
                    PrometheusTarget(
                        coded(clusters.CLUSTER_STATE, tuple(_CLUSTER_STATES), *_CLUSTER, namespace=variable("namespace"))
                    ),
                ),
                *(
                    (FieldOverride(what, decimals=0), PrometheusTarget(_cluster(clusters.WORKERS[what]).max(*_CLUSTER)))
                    for what in ("desired", "available", "ready")
                ),
                *(
                    (
                        FieldOverride(
                            head, states=YES_NO if name != "ReplicaFailure" else {"1": ("yes", BAD), "0": ("no", OK)}
                        ),
                        PrometheusTarget(_cluster(clusters.CLUSTER_CONDITION, condition=name).max(*_CLUSTER)),
                    )
                    for name, head in _CONDITIONS.items()
                ),
            ],
            key_columns=[FieldOverride("namespace", links=[_PODS])],
            sort="state",
            width=24,
            height=5,
        ),
        table(
            "RayCluster resources",
            "Minimum and maximum workers, and requested resources of each RayCluster (ray_cluster_workers_*, "
            "ray_cluster_desired_*).",
            _CLUSTER,
            [
                *(
                    (
                        FieldOverride(f"workers {what}", decimals=0),
                        PrometheusTarget(_cluster(clusters.WORKERS[what]).max(*_CLUSTER)),
                    )
                    for what in ("min", "max")
                ),
                (FieldOverride("CPU", decimals=1), PrometheusTarget(_cluster(clusters.CLUSTER_CPU).max(*_CLUSTER))),
                (FieldOverride("memory", unit="bytes"), PrometheusTarget(_cluster(clusters.CLUSTER_MEMORY).max(*_CLUSTER))),
                (FieldOverride("GPUs", decimals=0), PrometheusTarget(_cluster(clusters.CLUSTER_GPU).max(*_CLUSTER))),
            ],
            key_columns=[FieldOverride("namespace", links=[_PODS])],
            sort="raycluster",
            descending=False,
            width=24,
            height=5,
        ),
        graph(
            "Workers",
            "Desired, ready and maximum workers by cluster (ray_cluster_workers_*).",
            _workers("desired"),
            _workers("ready"),
            _workers("max"),
            unit="locale",
        ),
        stat(
            "KubeRay",
            "Whether the Kubernetes API serves the KubeRay resources (ray_crd_available). Without KubeRay, this dashboard "
            "has no data.",
            PrometheusTarget(selector(SERVED).max("kind"), "{{kind}}"),
            states=YES_NO,
            names=True,
            height=8,
            links=[Link("Exporter", DashboardUid.EXPORTER)],
        ),
        graph(
            "GPUs",
            "Allocatable and requested GPUs by node pool (fleet_node_pool_gpus_allocatable, "
            "fleet_node_pool_gpus_requested); no data without GPU nodes, or if the exporter does not read nodes.",
            PrometheusTarget(selector(workloads.POOL_GPUS).max("pool"), "{{pool}} allocatable"),
            PrometheusTarget(selector(workloads.POOL_REQUESTED).max("pool"), "{{pool}} requested"),
            unit="locale",
        ),
    ],
)
