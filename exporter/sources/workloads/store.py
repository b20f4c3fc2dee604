"""Pods and nodes from a watch; a workload is rendered again when one of its pods changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exporter.sources.workloads.controllers import Replicas
from exporter.sources.workloads.pod import PodRow, Workload, pod_of, row_of
from exporter.sources.workloads.resources import GPU_RESOURCES, NodeRow, Resources, node_of
from exporter.sources.workloads.samples import Pool, WorkloadStatus, status_of, workload_lines, worst

Key = tuple[str, str]
"""(namespace, name)"""


class Pods:
    """An ObjectStore of pods, by workload; `set_replicas` adds what the workloads' controllers want."""

    def __init__(self, gpu_resources: Sequence[str] = GPU_RESOURCES) -> None:
        self._gpu_resources = tuple(gpu_resources)
        self._replicas: dict[Workload, Replicas] = {}
        self._unread: frozenset[str] = frozenset()
        self._scopes: dict[str, dict[Key, PodRow]] = defaultdict(dict)
        self._of: dict[Workload, dict[Key, PodRow]] = defaultdict(dict)
        self._restarts: Counter[Workload] = Counter()
        """Restarts since the exporter started; the first list is the baseline, for a correct `increase()`."""
        self._listed: set[str] = set()
        self._lines: dict[Workload, tuple[str, ...]] = {}

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, PodRow]:  # noqa: ARG002 - the protocol's
        pods = [pod_of(raw) for raw in objects]
        return {(pod.metadata.namespace, pod.metadata.name): row_of(pod, self._gpu_resources) for pod in pods}

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
        self._lines.pop(row.workload, None)

    def _remove(self, scope: str, key: Key) -> None:
        row = self._scopes[scope].pop(key, None)
        if row is None:
            return
        pods = self._of[row.workload]
        pods.pop(key, None)
        self._lines.pop(row.workload, None)
        if not pods:
            del self._of[row.workload]
            if row.workload not in self._replicas:
                del self._restarts[row.workload]

    def set_replicas(self, workload: Workload, replicas: Replicas | None) -> None:
        """What a controller wants and has; None once it is deleted."""
        if replicas is None:
            self._replicas.pop(workload, None)
            if workload not in self._of:
                del self._restarts[workload]
        else:
            self._replicas[workload] = replicas
        self._lines.pop(workload, None)

    def set_unread(self, kinds: frozenset[str]) -> None:
        """Kinds of controllers whose replicas are not known now."""
        for workload in [one for one in self._lines if one.kind in kinds ^ self._unread]:
            del self._lines[workload]
        self._unread = kinds

    def _replicas_of(self, workload: Workload) -> Replicas | None:
        return None if workload.kind in self._unread else self._replicas.get(workload)

    def _workloads(self) -> set[Workload]:
        return {*self._of, *(workload for workload in self._replicas if workload.kind not in self._unread)}

    def lines(self) -> list[tuple[str, ...]]:
        """The lines of all workloads, from `workload_lines`."""
        for workload in self._workloads() - self._lines.keys():
            pods, replicas = self._of.get(workload, {}).values(), self._replicas_of(workload)
            self._lines[workload] = workload_lines(workload, pods, replicas, self._restarts[workload])
        return list(self._lines.values())

    def expected(self, names: Iterable[str]) -> dict[Key, WorkloadStatus]:
        """The status of each name (`namespace/name`), of any kind."""
        found: dict[Key, list[WorkloadStatus]] = defaultdict(list)
        for workload in self._workloads():
            pods, replicas = self._of.get(workload, {}).values(), self._replicas_of(workload)
            found[workload.namespace, workload.name].append(status_of(pods, workload.kind, replicas))
        keys = [(namespace, name) for namespace, _, name in (text.partition("/") for text in names)]
        return {key: worst(found[key]) if key in found else WorkloadStatus.ABSENT for key in keys}

    def used(self, used: Mapping[Key, Resources]) -> dict[Workload, Resources]:
        """Usage by workload from usage by pod; workloads without pods in it are omitted."""
        sums: dict[Workload, Resources] = {}
        for workload, pods in self._of.items():
            known = [used[key] for key in pods if key in used]
            if known:
                sums[workload] = Resources(sum(one.cpu for one in known), sum(one.memory for one in known))
        return sums

    def gpus_by_node(self) -> Counter[str]:
        """GPUs requested by scheduled pods that have not terminated."""
        found: Counter[str] = Counter()
        for scope in self._scopes.values():
            for row in scope.values():
                if row.node and row.requested.gpus and not row.has_ended:
                    found[row.node] += int(row.requested.gpus)
        return found


class Nodes:
    """An ObjectStore of nodes."""

    def __init__(self, pool_label: str, gpu_resources: Sequence[str] = GPU_RESOURCES) -> None:
        self._pool_label = pool_label
        self._gpu_resources = tuple(gpu_resources)
        self._nodes: dict[Key, NodeRow] = {}

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, NodeRow]:
        nodes = [node_of(raw, self._pool_label, self._gpu_resources) for raw in objects]
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

    def pools(self, requested: Mapping[str, int]) -> dict[str, Pool]:
        """GPUs by pool; `requested` has the GPUs requested by pods, by node."""
        allocatable: Counter[str] = Counter()
        taken: Counter[str] = Counter()
        for node in self._nodes.values():
            allocatable[node.pool] += int(node.gpus)
            taken[node.pool] += requested.get(node.name, 0)
        return {pool: Pool(gpus, taken[pool]) for pool, gpus in allocatable.items()}
