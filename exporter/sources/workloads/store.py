"""Every workload's pods, and its lines, rendered when one of its pods changes and joined at a scrape."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, info, labels, state_set
from exporter.sources.workloads.pod import (
    PHASES,
    NodeRow,
    PodRow,
    Resources,
    Workload,
    node_of,
    pod_of,
    row_of,
)


class Status(StrEnum):
    """UP has all its pods ready, DEGRADED some, DOWN none; ABSENT is expected and has no pod at all."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    ABSENT = "absent"


_WHO: Final = ("namespace", "kind", "workload")
STATUS = state_set(
    "fleet_workload_status",
    "Status of a workload: all, some or none of its pods are ready.",
    *_WHO,
    states=(Status.UP, Status.DEGRADED, Status.DOWN),
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
    "Containers whose current or last state is terminated, by reason (terminated).",
    *_WHO,
    "reason",
)
STARTED = gauge(
    "fleet_workload_start_timestamp_seconds", "Start time of the oldest pod (status.startTime).", *_WHO,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
IMAGE = info("fleet_workload_image_info", "Images of the pods with tag or digest (spec).", *_WHO, "image", "version")
CPU_REQUESTED = gauge("fleet_workload_cpu_requested_cores", "CPU requested (spec).", *_WHO, unit=Unit.CORES)
CPU_LIMIT = gauge("fleet_workload_cpu_limit_cores", "Sum of CPU limits, if set (spec).", *_WHO, unit=Unit.CORES)
MEMORY_REQUESTED = gauge("fleet_workload_memory_requested_bytes", "Memory requested (spec).", *_WHO, unit=Unit.BYTES)
MEMORY_LIMIT = gauge("fleet_workload_memory_limit_bytes", "Sum of memory limits, if set (spec).", *_WHO, unit=Unit.BYTES)
GPUS = gauge("fleet_workload_gpus_requested", "GPUs requested (spec, nvidia.com/gpu).", *_WHO)
WORKLOAD: Final = (
    STATUS, PODS, READY, RESTARTS, WAITING, TERMINATED, STARTED, IMAGE, CPU_REQUESTED, CPU_LIMIT, MEMORY_REQUESTED,
    MEMORY_LIMIT, GPUS,
)  # fmt: skip
CPU_USED = gauge("fleet_workload_cpu_used_cores", "CPU used (metrics.k8s.io).", *_WHO, unit=Unit.CORES)
MEMORY_USED = gauge("fleet_workload_memory_used_bytes", "Memory used (metrics.k8s.io).", *_WHO, unit=Unit.BYTES)
EXPECTED = state_set(
    "fleet_expected_workload_status",
    "Status of each workload in workloads.expected, of any kind.",
    "namespace",
    "workload",
    states=tuple(Status),
)
POOL_GPUS = gauge("fleet_node_pool_gpus_allocatable", "GPUs of a pool's nodes (status.allocatable).", "pool")
POOL_REQUESTED = gauge("fleet_node_pool_gpus_requested", "GPUs requested by pods on a pool's nodes (spec).", "pool")
METRICS: Final[tuple[Metric, ...]] = (*WORKLOAD, CPU_USED, MEMORY_USED, EXPECTED, POOL_GPUS, POOL_REQUESTED)

Key = tuple[str, str]
"""(namespace, name)"""


def status_of(pods: Iterable[PodRow]) -> Status:
    """Pods that have ended count for nothing, unless there are no others: an evicted pod stays long after its successor."""
    every = list(pods)
    lasting = [pod for pod in every if pod.phase not in ("Succeeded", "Failed")]
    if not lasting:
        return Status.UP if any(pod.phase == "Succeeded" for pod in every) else Status.DOWN
    ready = sum(pod.ready for pod in lasting)
    if ready == len(lasting):
        return Status.UP
    return Status.DEGRADED if ready else Status.DOWN


class Pods:
    """An ObjectStore of pods."""

    def __init__(self) -> None:
        self._scopes: dict[str, dict[Key, PodRow]] = defaultdict(dict)
        self._of: dict[Workload, dict[Key, PodRow]] = defaultdict(dict)
        self._restarts: Counter[Workload] = Counter()
        """Restarts since the exporter started: those of the first list are a baseline, so that `increase()` is right."""
        self._listed: set[str] = set()
        self._texts: dict[Workload, tuple[str, ...]] = {}

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, PodRow]:  # noqa: ARG002 - the protocol's
        pods = [pod_of(raw) for raw in objects]
        return {(pod.metadata.namespace, pod.metadata.name): row_of(pod) for pod in pods}

    def replace(self, scope: str, rows: dict[Key, PodRow]) -> None:
        for key in self._scopes[scope].keys() - rows.keys():
            self._remove(scope, key)
        for key, row in rows.items():
            self._put(scope, key, row, is_baseline=scope not in self._listed)
        self._listed.add(scope)

    def clear(self, scope: str) -> None:
        self.replace(scope, {})
        self._listed.discard(scope)

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        for key, row in self.rows(scope, [raw]).items():
            if kind == "DELETED":
                self._remove(scope, key)
            else:
                self._put(scope, key, row, is_baseline=False)

    def _put(self, scope: str, key: Key, row: PodRow, *, is_baseline: bool) -> None:
        before = self._scopes[scope].get(key)
        if before == row:
            return
        if before is not None and before.workload != row.workload:
            self._remove(scope, key)
        same = before is not None and before.uid == row.uid
        seen = before.restarts if same and before else row.restarts if is_baseline else 0
        self._restarts[row.workload] += max(row.restarts - seen, 0)
        self._scopes[scope][key] = row
        self._of[row.workload][key] = row
        self._texts.pop(row.workload, None)

    def _remove(self, scope: str, key: Key) -> None:
        row = self._scopes[scope].pop(key, None)
        if row is None:
            return
        pods = self._of[row.workload]
        pods.pop(key, None)
        self._texts.pop(row.workload, None)
        if not pods:
            del self._of[row.workload]
            del self._restarts[row.workload]

    def samples(self) -> Iterable[Sample]:
        for workload in self._of.keys() - self._texts.keys():
            self._texts[workload] = _texts(workload, self._of[workload].values(), self._restarts[workload])
        for metric, texts in zip(WORKLOAD, zip(*self._texts.values(), strict=True), strict=bool(self._texts)):
            yield metric.lines("".join(texts))

    def expected(self, names: Iterable[str]) -> Iterable[Sample]:
        """`namespace/name` each."""
        found: dict[Key, list[PodRow]] = defaultdict(list)
        for workload, pods in self._of.items():
            found[workload.namespace, workload.name] += pods.values()
        for name in dict.fromkeys(names):
            namespace, _, wanted = name.partition("/")
            here = found.get((namespace, wanted))
            yield EXPECTED.state(status_of(here) if here else Status.ABSENT, namespace=namespace, workload=wanted)

    def used(self, used: Mapping[Key, Resources]) -> Iterable[Sample]:
        """What the metrics API says, by workload; a workload none of whose pods it knows is absent."""
        sums: dict[Workload, Resources] = {}
        for workload, pods in self._of.items():
            known = [used[key] for key in pods if key in used]
            if known:
                sums[workload] = Resources(sum(one.cpu for one in known), sum(one.memory for one in known))
        who = {workload: labels(**dict(zip(_WHO, workload, strict=True))) for workload in sums}
        yield CPU_USED.column([(who[workload], one.cpu) for workload, one in sums.items()])
        yield MEMORY_USED.column([(who[workload], one.memory) for workload, one in sums.items()])

    def gpus_by_node(self) -> Counter[str]:
        """GPUs requested by pods that are on a node and have not ended."""
        found: Counter[str] = Counter()
        for scope in self._scopes.values():
            for row in scope.values():
                if row.node and row.requested.gpus and row.phase not in ("Succeeded", "Failed"):
                    found[row.node] += int(row.requested.gpus)
        return found


def _texts(workload: Workload, pods: Iterable[PodRow], restarts: int) -> tuple[str, ...]:
    """One text for each of WORKLOAD, empty where the metric does not apply."""
    every = list(pods)
    who = labels(**dict(zip(_WHO, workload, strict=True)))
    phases = Counter(pod.phase for pod in every)
    waiting = Counter(reason for pod in every for reason in pod.waiting)
    ended = Counter(reason for pod in every for reason in pod.terminated)
    started = [pod.started for pod in every if pod.started is not None]
    images = dict.fromkeys(image for pod in every for image in pod.images)
    requested, limited = [pod.requested for pod in every], [pod.limited for pod in every]
    cpu_limit, memory_limit = sum(one.cpu for one in limited), sum(one.memory for one in limited)
    return (
        STATUS.state_at(who, status_of(every)).text,
        "".join(PODS.at(who.with_label("phase", phase), phases[phase]).text for phase in PHASES),
        READY.at(who, sum(pod.ready for pod in every)).text,
        RESTARTS.at(who, restarts).text,
        "".join(WAITING.at(who.with_label("reason", reason), number).text for reason, number in waiting.items()),
        "".join(TERMINATED.at(who.with_label("reason", reason), number).text for reason, number in ended.items()),
        STARTED.at(who, min(started)).text if started else "",
        "".join(IMAGE.at(who.with_label("image", name).with_label("version", tag), 1).text for name, tag in images),
        CPU_REQUESTED.at(who, sum(one.cpu for one in requested)).text,
        CPU_LIMIT.at(who, cpu_limit).text if cpu_limit else "",
        MEMORY_REQUESTED.at(who, sum(one.memory for one in requested)).text,
        MEMORY_LIMIT.at(who, memory_limit).text if memory_limit else "",
        GPUS.at(who, sum(one.gpus for one in requested)).text,
    )


class Nodes:
    """An ObjectStore of nodes."""

    def __init__(self, pool_label: str) -> None:
        self._pool_label = pool_label
        self._nodes: dict[Key, NodeRow] = {}

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, NodeRow]:
        nodes = [node_of(raw, self._pool_label) for raw in objects]
        return {(scope, node.name): node for node in nodes}

    def replace(self, scope: str, rows: dict[Key, NodeRow]) -> None:  # noqa: ARG002 - there is one only
        self._nodes = rows

    def clear(self, scope: str) -> None:
        self.replace(scope, {})

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        for key, node in self.rows(scope, [raw]).items():
            self._nodes.pop(key, None)
            if kind != "DELETED":
                self._nodes[key] = node

    def samples(self, requested: Mapping[str, int]) -> Iterable[Sample]:
        allocatable: Counter[str] = Counter()
        taken: Counter[str] = Counter()
        for node in self._nodes.values():
            allocatable[node.pool] += int(node.gpus)
            taken[node.pool] += requested.get(node.name, 0)
        for pool, gpus in allocatable.items():
            yield POOL_GPUS(gpus, pool=pool)
            yield POOL_REQUESTED(taken[pool], pool=pool)
