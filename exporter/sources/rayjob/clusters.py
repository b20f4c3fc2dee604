"""Existing RayClusters, stored as rendered samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from exporter.clients.quantity import quantity
from exporter.config.sharding import WHOLE, Shard
from exporter.metrics.metric import OTHER, Metric, Sample, Unit, gauge, labels, state_set
from exporter.sources.rayjob.objects import NEW, RayCluster, RayClusterStatus, known, ray_cluster
from exporter.sources.rayjob.rendered import RenderedObjects, Texts, joined

CLUSTER_STATES: Final = (NEW, "ready", "suspended", "failed", OTHER)
CONDITIONS: Final = (
    "RayClusterProvisioned", "HeadPodReady", "ReplicaFailure", "RayClusterSuspending", "RayClusterSuspended"
)  # fmt: skip

_CLUSTER: Final = ("namespace", "raycluster")

CLUSTER_STATE = state_set("ray_cluster_state", "State of the RayCluster (status.state).", *_CLUSTER, states=CLUSTER_STATES)
CLUSTER_CONDITION = gauge(
    "ray_cluster_condition", "Whether a condition is True; absent if not reported (status.conditions).",
    *_CLUSTER, "condition",
)  # fmt: skip
WORKERS: Final = {
    what: gauge(f"ray_cluster_workers_{what}", f"{what.capitalize()} workers (status.{what}WorkerReplicas).", *_CLUSTER)
    for what in ("desired", "available", "ready", "min", "max")
}
CLUSTER_CPU = gauge(
    "ray_cluster_desired_cpu_cores", "CPU requested by all pods (status.desiredCPU).", *_CLUSTER, unit=Unit.CORES
)
CLUSTER_MEMORY = gauge(
    "ray_cluster_desired_memory_bytes", "Memory requested by all pods (status.desiredMemory).", *_CLUSTER, unit=Unit.BYTES
)
CLUSTER_TPU = gauge("ray_cluster_desired_tpus", "TPUs requested by all pods (status.desiredTPU).", *_CLUSTER)
CLUSTER_GPU = gauge("ray_cluster_desired_gpus", "GPUs requested by all pods (status.desiredGPU).", *_CLUSTER)

METRICS: Final[tuple[Metric, ...]] = (
    CLUSTER_STATE, CLUSTER_CONDITION, *WORKERS.values(), CLUSTER_CPU, CLUSTER_MEMORY, CLUSTER_GPU, CLUSTER_TPU
)  # fmt: skip


def worker_counts(status: RayClusterStatus) -> dict[str, int]:
    """Workers by key of WORKERS; empty if KubeRay has not counted them yet.

    KubeRay omits a count of 0. KubeRay before 1.2 never reports ready workers: they are known only if none is available.
    """
    reported = {what: getattr(status, f"{what}_worker_replicas") for what in WORKERS}
    if all(count is None for count in reported.values()):
        return {}
    reports_ready = status.conditions is not None or status.state_transition_times is not None  # both since 1.2
    if reported["ready"] is None and reported["available"] and not reports_ready:
        del reported["ready"]
    return {what: count or 0 for what, count in reported.items()}


def cluster_texts(cluster: RayCluster) -> Texts:
    """Like `job_texts`, for a RayCluster and METRICS; unreported resources are absent, not 0."""
    meta, status = cluster.metadata, cluster.status
    who = labels(namespace=meta.namespace, raycluster=meta.name)
    conditions = "".join(
        CLUSTER_CONDITION.at(who.with_label("condition", condition.type), condition.status == "True").text
        for condition in {condition.type: condition for condition in status.conditions or ()}.values()
        if condition.type in CONDITIONS
    )
    workers = worker_counts(status)
    resources = (
        (CLUSTER_CPU, quantity(status.desired_cpu)),
        (CLUSTER_MEMORY, quantity(status.desired_memory)),
        (CLUSTER_GPU, quantity(status.desired_gpu)),
        (CLUSTER_TPU, quantity(status.desired_tpu)),
    )
    return (
        CLUSTER_STATE.state_at(who, known(status.state, CLUSTER_STATES)).text,
        conditions,
        *(metric.at(who, workers[what]).text if what in workers else "" for what, metric in WORKERS.items()),
        *(metric.at(who, amount).text if amount is not None else "" for metric, amount in resources),
    )


class RayClusters(RenderedObjects[RayCluster]):
    """The RayClusters of a shard."""

    def __init__(self, shard: Shard = WHOLE) -> None:
        super().__init__(ray_cluster, cluster_texts, shard)


def samples(rows: Sequence[Texts]) -> Iterable[Sample]:
    """The lines of all RayClusters, joined per metric."""
    return joined(METRICS, rows)
