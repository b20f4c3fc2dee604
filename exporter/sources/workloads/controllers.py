"""Desired and available replicas of Deployments, StatefulSets and DaemonSets, kept current by a watch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from exporter.sources.workloads.pod import Workload

PLURALS: Final = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
"""Kinds of apps/v1 by the plural in their path."""


class _ControllerMetadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _ControllerSpec(msgspec.Struct, frozen=True):
    replicas: int | None = None


class _ControllerStatus(msgspec.Struct, frozen=True, rename="camel"):
    available_replicas: int | None = None
    desired_number_scheduled: int | None = None
    number_available: int | None = None


class _Controller(msgspec.Struct, frozen=True):
    metadata: _ControllerMetadata = _ControllerMetadata()
    spec: _ControllerSpec = _ControllerSpec()
    status: _ControllerStatus = _ControllerStatus()


class Replicas(NamedTuple):
    """How many pods a controller wants, and how many are available."""

    desired: int
    available: int


def replicas_of(raw: bytes | msgspec.Raw, kind: str) -> tuple[Workload, Replicas]:
    """A controller of that kind; one whose fields have other types than Kubernetes's wants nothing."""
    try:
        found = msgspec.json.decode(raw, type=_Controller)
    except msgspec.ValidationError:
        return Workload("", kind, ""), Replicas(0, 0)
    spec, status = found.spec, found.status
    workload = Workload(found.metadata.namespace, kind, found.metadata.name)
    if kind == "DaemonSet":
        return workload, Replicas(status.desired_number_scheduled or 0, status.number_available or 0)
    return workload, Replicas(1 if spec.replicas is None else spec.replicas, status.available_replicas or 0)


class Controllers:
    """An ObjectStore of one kind; reports every change to `changed`, None for a deleted controller."""

    def __init__(self, kind: str, changed: Callable[[Workload, Replicas | None], None]) -> None:
        self._kind = kind
        self._changed = changed
        self._known: dict[str, dict[tuple[str, str], Replicas]] = defaultdict(dict)

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[tuple[str, str], Replicas]:  # noqa: ARG002 - the protocol's
        found = [replicas_of(raw, self._kind) for raw in objects]
        return {(workload.namespace, workload.name): replicas for workload, replicas in found}

    def replace(self, scope: str, rows: dict[tuple[str, str], Replicas]) -> None:
        known = self._known[scope]
        for key in known.keys() - rows.keys():
            self._changed(self._workload(key), None)
        for key, replicas in rows.items():
            if known.get(key) != replicas:
                self._changed(self._workload(key), replicas)
        self._known[scope] = rows

    def clear(self, scope: str) -> None:
        self.replace(scope, {})

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        known = self._known[scope]
        for key, replicas in self.rows(scope, [raw]).items():
            if kind == "DELETED":
                known.pop(key, None)
                self._changed(self._workload(key), None)
            elif known.get(key) != replicas:
                known[key] = replicas
                self._changed(self._workload(key), replicas)

    def _workload(self, key: tuple[str, str]) -> Workload:
        return Workload(key[0], self._kind, key[1])
