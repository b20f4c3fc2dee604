"""Pods and nodes as typed records, and their stored form: JSON → records, pure. Missing fields are empty."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from exporter.clients.quantity import quantity
from exporter.metrics.metric import OTHER
from exporter.metrics.timestamps import seconds

_SHARED = 10_000
"""Interned values: thousands of pods share a few hundred owners, images and sizes."""
GPU: Final = "nvidia.com/gpu"
PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
WAITING: Final = (
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CreateContainerError",
    "ContainerCreating", "PodInitializing", "RunContainerError", "InvalidImageName",
)  # fmt: skip
TERMINATED: Final = ("OOMKilled", "Error", "Completed", "ContainerCannotRun", "DeadlineExceeded", "Evicted", "StartError")


class _Owner(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _Resources(msgspec.Struct, frozen=True):
    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class _Container(msgspec.Struct, frozen=True):
    name: str = ""
    image: str = ""
    resources: _Resources = _Resources()


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[_Container] | None = None
    node_name: str | None = None


class _Reason(msgspec.Struct, frozen=True):
    reason: str | None = None


class _State(msgspec.Struct, frozen=True):
    waiting: _Reason | None = None
    terminated: _Reason | None = None


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    ready: bool = False
    restart_count: int = 0
    state: _State = _State()
    last_state: _State = _State()


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str | None = None
    reason: str | None = None
    start_time: str | None = None
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class Pod(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _Identity(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class Workload(NamedTuple):
    """The workload of a pod; a pod without an owner is of kind Pod."""

    namespace: str
    kind: str
    name: str


class Resources(NamedTuple):
    """CPU in cores, memory in bytes, whole GPUs; 0 if no container sets it."""

    cpu: float = 0.0
    memory: float = 0.0
    gpus: float = 0.0


class PodRow(NamedTuple):
    """The stored part of a pod; `started` in seconds since 1970."""

    uid: str
    workload: Workload
    phase: str
    ready: bool
    restarts: int
    waiting: tuple[str, ...]
    terminated: tuple[str, ...]
    started: float | None
    images: tuple[tuple[str, str], ...]
    requested: Resources
    limited: Resources
    node: str


def pod_of(raw: bytes | msgspec.Raw) -> Pod:
    """A pod; if its fields have unexpected types, only its identity is kept."""
    try:
        return msgspec.json.decode(raw, type=Pod)
    except msgspec.ValidationError:
        try:
            return Pod(metadata=msgspec.json.decode(raw, type=_Identity).metadata)
        except msgspec.ValidationError:
            return Pod()


_shared_workload = functools.lru_cache(maxsize=_SHARED)(Workload)
_shared_resources = functools.lru_cache(maxsize=_SHARED)(Resources)


def workload_of(pod: Pod) -> Workload:
    """The pod's controller; for a ReplicaSet, its Deployment, derived from the pod-template-hash."""
    meta = pod.metadata
    owner = next((one for one in meta.owner_references or () if one.controller), None)
    if owner is None:
        return _shared_workload(meta.namespace, "Pod", meta.name)
    template = (meta.labels or {}).get("pod-template-hash")
    if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
        return _shared_workload(meta.namespace, "Deployment", owner.name.removesuffix(f"-{template}"))
    return _shared_workload(meta.namespace, owner.kind, owner.name)


@functools.lru_cache(maxsize=_SHARED)
def image_version(image: str) -> tuple[str, str]:
    """(image, tag or digest) of an image reference; `latest` without either."""
    name, at, digest = image.partition("@")
    if at:
        repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
        return repository, tag or digest[:19]
    if ":" in name.rpartition("/")[2]:
        repository, _, tag = name.rpartition(":")
        return repository, tag
    return name, "latest"


def row_of(pod: Pod) -> PodRow:
    """The stored part of a pod."""
    status, spec = pod.status, pod.spec
    containers = status.container_statuses or []
    every = [*containers, *(status.init_container_statuses or [])]
    waiting = [one.state.waiting.reason for one in every if one.state.waiting is not None]
    ended = [state.terminated.reason for one in containers for state in (one.state, one.last_state) if state.terminated]
    if status.reason:
        ended.append(status.reason)
    ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions or ())
    asked = spec.containers or []
    return PodRow(
        uid=pod.metadata.uid,
        workload=workload_of(pod),
        phase=sys.intern(status.phase) if status.phase in PHASES else "Unknown",
        ready=ready,
        restarts=sum(one.restart_count for one in every),
        waiting=tuple(_known(reason, WAITING) for reason in waiting),
        terminated=tuple(_known(reason, TERMINATED) for reason in dict.fromkeys(ended)),
        started=seconds(status.start_time),
        images=tuple(dict.fromkeys(image_version(one.image) for one in asked if one.image)),
        requested=_sum(one.resources.requests for one in asked),
        limited=_sum(one.resources.limits for one in asked),
        node=sys.intern(spec.node_name or ""),
    )


def _known(reason: str | None, known: tuple[str, ...]) -> str:
    return reason if reason in known else OTHER


def _sum(resources: Iterable[dict[str, str | int | float] | None]) -> Resources:
    cpu = memory = gpus = 0.0
    for one in resources:
        if one:
            cpu += quantity(one.get("cpu")) or 0.0
            memory += quantity(one.get("memory")) or 0.0
            gpus += quantity(one.get(GPU)) or 0.0
    return _shared_resources(cpu, memory, gpus)


class _Allocatable(msgspec.Struct, frozen=True):
    allocatable: dict[str, str | int | float] | None = None


class _Node(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    status: _Allocatable = _Allocatable()


class NodeRow(NamedTuple):
    """The stored part of a node: pool and GPUs."""

    name: str
    pool: str
    gpus: float


def node_of(raw: bytes | msgspec.Raw, pool_label: str) -> NodeRow:
    """A node; `default` is the pool of nodes without the label."""
    try:
        node = msgspec.json.decode(raw, type=_Node)
    except msgspec.ValidationError:
        return NodeRow("", "default", 0.0)
    gpus = quantity((node.status.allocatable or {}).get(GPU)) or 0.0
    return NodeRow(node.metadata.name, (node.metadata.labels or {}).get(pool_label) or "default", gpus)


class _Usage(msgspec.Struct, frozen=True):
    cpu: str | int | float | None = None
    memory: str | int | float | None = None


class _UsedContainer(msgspec.Struct, frozen=True):
    usage: _Usage = _Usage()


class _PodMetrics(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    containers: list[_UsedContainer] | None = None


class _PodMetricsList(msgspec.Struct, frozen=True):
    items: list[_PodMetrics] | None = None


def used_of(body: bytes) -> dict[tuple[str, str], Resources]:
    """A PodMetricsList by namespace and pod. Raises msgspec.DecodeError or ValidationError."""
    return {
        (pod.metadata.namespace, pod.metadata.name): Resources(
            sum(quantity(one.usage.cpu) or 0.0 for one in pod.containers or ()),
            sum(quantity(one.usage.memory) or 0.0 for one in pod.containers or ()),
        )
        for pod in msgspec.json.decode(body, type=_PodMetricsList).items or ()
    }
