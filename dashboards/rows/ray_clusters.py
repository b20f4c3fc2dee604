"""Row about RayClusters: state, workers, and GPU capacity."""

from __future__ import annotations

from typing import Final

from alerts.view import View
from dashboards.grafana.fields import BAD, OK, QUIET, UNKNOWN, WARN, YES_NO, Column, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, stat, table
from dashboards.grafana.queries import Line, chosen, shown
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
    return shown(metric, namespace=chosen("namespace"), **matchers)


def _workers(what: str) -> Line:
    return Line(_cluster(clusters.WORKERS[what]).max(*_CLUSTER), f"{{{{raycluster}}}} {what}")


_PODS = Link("Pods", View.OVERVIEW, {"namespace": "namespace"})

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
                    Column("state", states=worded(_CLUSTER_STATES)),
                    Line(coded(clusters.CLUSTER_STATE, tuple(_CLUSTER_STATES), *_CLUSTER, namespace=chosen("namespace"))),
                ),
                *(
                    (Column(what, decimals=0), Line(_cluster(clusters.WORKERS[what]).max(*_CLUSTER)))
                    for what in ("desired", "available", "ready")
                ),
                *(
                    (
                        Column(head, states=YES_NO if name != "ReplicaFailure" else {"1": ("yes", BAD), "0": ("no", OK)}),
                        Line(_cluster(clusters.CLUSTER_CONDITION, condition=name).max(*_CLUSTER)),
                    )
                    for name, head in _CONDITIONS.items()
                ),
            ],
            key_columns=[Column("namespace", links=[_PODS])],
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
                    (Column(f"workers {what}", decimals=0), Line(_cluster(clusters.WORKERS[what]).max(*_CLUSTER)))
                    for what in ("min", "max")
                ),
                (Column("CPU", decimals=1), Line(_cluster(clusters.CLUSTER_CPU).max(*_CLUSTER))),
                (Column("memory", unit="bytes"), Line(_cluster(clusters.CLUSTER_MEMORY).max(*_CLUSTER))),
                (Column("GPUs", decimals=0), Line(_cluster(clusters.CLUSTER_GPU).max(*_CLUSTER))),
            ],
            key_columns=[Column("namespace", links=[_PODS])],
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
            Line(shown(SERVED).max("kind"), "{{kind}}"),
            states=YES_NO,
            names=True,
            height=8,
            links=[Link("Exporter", View.EXPORTER)],
        ),
        graph(
            "GPUs",
            "Allocatable and requested GPUs by node pool (fleet_node_pool_gpus_allocatable, "
            "fleet_node_pool_gpus_requested); no data without GPU nodes, or if the exporter does not read nodes.",
            Line(shown(workloads.POOL_GPUS).max("pool"), "{{pool}} allocatable"),
            Line(shown(workloads.POOL_REQUESTED).max("pool"), "{{pool}} requested"),
            unit="locale",
        ),
    ],
)
