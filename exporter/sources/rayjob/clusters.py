"""The RayClusters that exist, each kept as the text of its samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from exporter.clients.quantity import quantity
from exporter.config.sharding import WHOLE, Shard
from exporter.metrics.metric import Metric, Sample, Unit, gauge, labels, state_set
from exporter.sources.rayjob.objects import NEW, OTHER, Key, RayCluster, key_of, known, ray_cluster

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
    what: gauge(f"ray_cluster_workers_{what}", f"Workers, {what} (status.{what}WorkerReplicas).", *_CLUSTER)
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


def cluster_texts(cluster: RayCluster) -> tuple[str, ...]:
    """As `job_texts`, for a RayCluster and METRICS; a figure that is not reported is absent, not 0."""
    meta, status = cluster.metadata, cluster.status
    who = labels(namespace=meta.namespace, raycluster=meta.name)
    conditions = "".join(
        CLUSTER_CONDITION.at(who.with_label("condition", condition.type), condition.status == "True").text
        for condition in {condition.type: condition for condition in status.conditions or ()}.values()
        if condition.type in CONDITIONS
    )
    workers = (getattr(status, f"{what}_worker_replicas") for what in WORKERS)
    resources = (
        (CLUSTER_CPU, quantity(status.desired_cpu)),
        (CLUSTER_MEMORY, quantity(status.desired_memory)),
        (CLUSTER_GPU, quantity(status.desired_gpu)),
        (CLUSTER_TPU, quantity(status.desired_tpu)),
    )
    return (
        CLUSTER_STATE.state_at(who, known(status.state, CLUSTER_STATES)).text,
        conditions,
        *(
            metric.at(who, count).text if count is not None else ""
            for metric, count in zip(WORKERS.values(), workers, strict=True)
        ),
        *(metric.at(who, amount).text if amount is not None else "" for metric, amount in resources),
    )


class Clusters:
    """An ObjectStore of RayClusters; those of other shards are passed over."""

    def __init__(self, shard: Shard = WHOLE) -> None:
        self._shard = shard
        self._scopes: dict[str, dict[Key, tuple[str, ...]]] = defaultdict(dict)

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, tuple[str, ...]]:  # noqa: ARG002 - the protocol's
        clusters = [ray_cluster(raw) for raw in objects]
        keyed = [(key_of(cluster.metadata), cluster) for cluster in clusters]
        return {key: cluster_texts(cluster) for key, cluster in keyed if self._shard.owns(*key)}

    def replace(self, scope: str, rows: dict[Key, tuple[str, ...]]) -> None:
        self._scopes[scope] = rows

    def clear(self, scope: str) -> None:
        self._scopes.pop(scope, None)

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        cluster = ray_cluster(raw)
        key = key_of(cluster.metadata)
        if not self._shard.owns(*key):
            return
        if kind == "DELETED":
            self._scopes[scope].pop(key, None)
        elif kind in ("ADDED", "MODIFIED"):
            self._scopes[scope][key] = cluster_texts(cluster)

    def rows_now(self) -> list[tuple[str, ...]]:
        """The lines of every RayCluster, one text for each of METRICS."""
        return [texts for scope in self._scopes.values() for texts in scope.values()]


def samples(rows: Sequence[tuple[str, ...]]) -> Iterable[Sample]:
    """Every RayCluster's lines, joined metric by metric."""
    for metric, texts in zip(METRICS, zip(*rows, strict=True), strict=bool(rows)):
        yield metric.lines("".join(texts))
