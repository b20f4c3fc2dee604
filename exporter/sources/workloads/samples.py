"""Workloads as samples; declares all metrics of the source. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, info, labels, state_set
from exporter.source import LOOKUP_UP
from exporter.sources.workloads.controllers import Replicas
from exporter.sources.workloads.pod import PHASES, PodRow, Workload
from exporter.sources.workloads.resources import Resources


class WorkloadStatus(StrEnum):
    """UP: all desired replicas available, or all pods ready; DEGRADED: some; DOWN: none; ABSENT: expected, but unknown."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    ABSENT = "absent"


_WHO: Final = ("namespace", "kind", "workload")
STATUS = state_set(
    "fleet_workload_status",
    "Status of a workload: whether all, some or none of its desired replicas are available, or, for a Job, CronJob, "
    "RayCluster or Pod, of its pods ready.",
    *_WHO,
    states=(WorkloadStatus.UP, WorkloadStatus.DEGRADED, WorkloadStatus.DOWN),
)
DESIRED = gauge(
    "fleet_workload_desired_replicas",
    "Desired replicas (spec.replicas, or a DaemonSet's status.desiredNumberScheduled).",
    *_WHO,
)
AVAILABLE = gauge(
    "fleet_workload_available_replicas",
    "Available replicas (status.availableReplicas, or a DaemonSet's status.numberAvailable).",
    *_WHO,
)
PODS = gauge("fleet_workload_pods", "Pods by phase (status.phase).", *_WHO, "phase")
READY = gauge("fleet_workload_ready_pods", "Pods that are ready (condition Ready).", *_WHO)
RESTARTS = counter(
    "fleet_workload_restarts_total",
    "Container restarts since the exporter started (increases of restartCount), including deleted pods.",
    *_WHO,
)
WAITING = gauge("fleet_workload_waiting_containers", "Waiting containers by reason (state.waiting).", *_WHO, "reason")
TERMINATED = gauge(
    "fleet_workload_terminated_containers",
    "Containers whose current or last state is terminated, by reason (terminated); init containers that completed are "
    "excluded.",
    *_WHO,
    "reason",
)
FAILED_PODS = gauge("fleet_workload_failed_pods", "Failed pods by reason, such as Evicted (status.reason).", *_WHO, "reason")
STARTED = gauge(
    "fleet_workload_start_timestamp_seconds", "Start time of the oldest pod (status.startTime).", *_WHO,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
IMAGE = info("fleet_workload_image_info", "Images of the pods with tag or digest (spec).", *_WHO, "image", "version")
CPU_REQUESTED = gauge(
    "fleet_workload_cpu_requested_cores", "CPU requested (spec, as the scheduler counts it).", *_WHO, unit=Unit.CORES
)
CPU_LIMIT = gauge("fleet_workload_cpu_limit_cores", "CPU limit, if set (spec).", *_WHO, unit=Unit.CORES)
MEMORY_REQUESTED = gauge(
    "fleet_workload_memory_requested_bytes", "Memory requested (spec, as the scheduler counts it).", *_WHO, unit=Unit.BYTES
)
MEMORY_LIMIT = gauge("fleet_workload_memory_limit_bytes", "Memory limit, if set (spec).", *_WHO, unit=Unit.BYTES)
GPUS = gauge("fleet_workload_gpus_requested", "GPUs requested (spec, workloads.gpu_resources).", *_WHO)
WORKLOAD: Final = (
    STATUS, DESIRED, AVAILABLE, PODS, READY, RESTARTS, WAITING, TERMINATED, FAILED_PODS, STARTED, IMAGE,
    CPU_REQUESTED, CPU_LIMIT, MEMORY_REQUESTED, MEMORY_LIMIT, GPUS,
)  # fmt: skip
CPU_USED = gauge("fleet_workload_cpu_used_cores", "CPU used (metrics.k8s.io).", *_WHO, unit=Unit.CORES)
MEMORY_USED = gauge("fleet_workload_memory_used_bytes", "Memory used (metrics.k8s.io).", *_WHO, unit=Unit.BYTES)
EXPECTED = state_set(
    "fleet_expected_workload_status",
    "Status of each workload in workloads.expected, of any kind.",
    "namespace",
    "workload",
    states=tuple(WorkloadStatus),
)
POOL_GPUS = gauge("fleet_node_pool_gpus_allocatable", "GPUs of a pool's nodes (status.allocatable).", "pool")
POOL_REQUESTED = gauge("fleet_node_pool_gpus_requested", "GPUs requested by pods on a pool's nodes (spec).", "pool")
METRICS: Final[tuple[Metric, ...]] = (*WORKLOAD, CPU_USED, MEMORY_USED, EXPECTED, POOL_GPUS, POOL_REQUESTED, LOOKUP_UP)


class Pool(NamedTuple):
    """GPUs of a pool's nodes: allocatable, and requested by pods on them."""

    allocatable: int
    requested: int


@dataclass(frozen=True)
class WorkloadsSnapshot:
    """The workloads of one cluster."""

    lines: Sequence[tuple[str, ...]]
    """The lines of all workloads, one text per metric in WORKLOAD."""
    expected: Mapping[tuple[str, str], WorkloadStatus]
    """Status of each expected workload by namespace and name."""
    pools: Mapping[str, Pool]
    """Node pools; empty if nodes are not watched or cannot be read."""
    used: Mapping[Workload, Resources]
    """Usage by workload; empty if it is not read or the metrics API is not available."""
    lookups: Mapping[str, bool] = field(default_factory=dict)
    """Whether each optional lookup succeeded."""


def status_of(pods: Iterable[PodRow], kind: str = "", replicas: Replicas | None = None) -> WorkloadStatus:
    """With `replicas`: whether the desired ones are available; a workload scaled to zero is up. Otherwise by its pods.

    Terminated pods are ignored unless there are no others: an evicted pod stays long after its replacement. For a CronJob,
    the last pod counts.
    """
    if replicas is not None:
        if replicas.available >= replicas.desired:
            return WorkloadStatus.UP
        return WorkloadStatus.DEGRADED if replicas.available else WorkloadStatus.DOWN
    every = list(pods)
    if kind == "CronJob":
        every = [max(every, key=lambda pod: math.inf if pod.started is None else pod.started)]
    active = [pod for pod in every if not pod.has_ended]
    if not active:
        return WorkloadStatus.UP if any(pod.phase == "Succeeded" for pod in every) else WorkloadStatus.DOWN
    ready = sum(pod.ready for pod in active)
    if ready == len(active):
        return WorkloadStatus.UP
    return WorkloadStatus.DEGRADED if ready else WorkloadStatus.DOWN


def worst(statuses: Iterable[WorkloadStatus]) -> WorkloadStatus:
    """Of workloads of several kinds with one name."""
    return max(statuses, key=tuple(WorkloadStatus).index)


def workload_lines(workload: Workload, pods: Iterable[PodRow], replicas: Replicas | None, restarts: int) -> tuple[str, ...]:
    """The lines of one workload: one text per metric in WORKLOAD, empty if the metric does not apply."""
    every = list(pods)
    who = labels(**dict(zip(_WHO, workload, strict=True)))
    phases = Counter(pod.phase for pod in every)
    waiting = Counter(reason for pod in every for reason in pod.waiting)
    ended = Counter(reason for pod in every for reason in pod.terminated)
    started = [pod.started for pod in every if pod.started is not None]
    images = dict.fromkeys(image for pod in every for image in pod.images)
    failed = Counter(pod.failure for pod in every if pod.failure)
    # Terminated pods reserve nothing.
    active = [pod for pod in every if not pod.has_ended]
    requested, limited = [pod.requested for pod in active], [pod.limited for pod in active]
    cpu_limit, memory_limit = sum(one.cpu for one in limited), sum(one.memory for one in limited)
    return (
        STATUS.state_at(who, status_of(every, workload.kind, replicas)).text,
        DESIRED.at(who, replicas.desired).text if replicas else "",
        AVAILABLE.at(who, replicas.available).text if replicas else "",
        "".join(PODS.at(who.with_label("phase", phase), phases[phase]).text for phase in PHASES),
        READY.at(who, sum(pod.ready for pod in every)).text,
        RESTARTS.at(who, restarts).text,
        "".join(WAITING.at(who.with_label("reason", reason), number).text for reason, number in waiting.items()),
        "".join(TERMINATED.at(who.with_label("reason", reason), number).text for reason, number in ended.items()),
        "".join(FAILED_PODS.at(who.with_label("reason", reason), number).text for reason, number in failed.items()),
        STARTED.at(who, min(started)).text if started else "",
        "".join(IMAGE.at(who.with_label("image", name).with_label("version", tag), 1).text for name, tag in images),
        CPU_REQUESTED.at(who, sum(one.cpu for one in requested)).text,
        CPU_LIMIT.at(who, cpu_limit).text if cpu_limit else "",
        MEMORY_REQUESTED.at(who, sum(one.memory for one in requested)).text,
        MEMORY_LIMIT.at(who, memory_limit).text if memory_limit else "",
        GPUS.at(who, sum(one.gpus for one in requested)).text,
    )


def samples(snapshot: WorkloadsSnapshot) -> Iterable[Sample]:
    for metric, texts in zip(WORKLOAD, zip(*snapshot.lines, strict=True), strict=bool(snapshot.lines)):
        yield metric.lines("".join(texts))
    for (namespace, name), status in snapshot.expected.items():
        yield EXPECTED.state(status, namespace=namespace, workload=name)
    for name, pool in snapshot.pools.items():
        yield POOL_GPUS(pool.allocatable, pool=name)
        yield POOL_REQUESTED(pool.requested, pool=name)
    who = {workload: labels(**dict(zip(_WHO, workload, strict=True))) for workload in snapshot.used}
    yield CPU_USED.column([(who[workload], used.cpu) for workload, used in snapshot.used.items()])
    yield MEMORY_USED.column([(who[workload], used.memory) for workload, used in snapshot.used.items()])
    for lookup, succeeded in snapshot.lookups.items():
        yield LOOKUP_UP(succeeded, source="workloads", server="", lookup=lookup)
