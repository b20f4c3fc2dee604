"""Pods and nodes as typed records, and their stored form: JSON → records, pure. Missing fields are empty."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from exporter.metrics.metric import OTHER
from exporter.metrics.timestamps import seconds
from exporter.sources.workloads.resources import (
    GPU_RESOURCES,
    Container,
    Quantities,
    ResourceRequirements,
    Resources,
    of_pod,
    resources_of,
)

_SHARED = 10_000
"""Interned values: thousands of pods share a few hundred owners, images and sizes."""
PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
WAITING: Final = (
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CreateContainerError",
    "ContainerCreating", "PodInitializing", "RunContainerError", "InvalidImageName",
)  # fmt: skip
TERMINATED: Final = ("OOMKilled", "Error", "Completed", "ContainerCannotRun", "DeadlineExceeded", "StartError")
FAILED: Final = (
    "Evicted", "NodeLost", "NodeAffinity", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "DeadlineExceeded",
    "UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods",
)  # fmt: skip
_CRON_JOB: Final = re.compile(r"(.+)-(\d{8})")
_LONGEST_WAIT: Final = 7 * 86400.0
"""Seconds from a CronJob's scheduled time within which its pods are created: jobs wait for quota and retry."""


class _Owner(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _PodMetadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    resources: ResourceRequirements = ResourceRequirements()
    overhead: dict[str, str | int | float] | None = None
    node_name: str | None = None


class _StateReason(msgspec.Struct, frozen=True):
    reason: str | None = None


class _ContainerState(msgspec.Struct, frozen=True):
    waiting: _StateReason | None = None
    terminated: _StateReason | None = None


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    ready: bool = False
    restart_count: int = 0
    state: _ContainerState = _ContainerState()
    last_state: _ContainerState = _ContainerState()


class _PodCondition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str | None = None
    reason: str | None = None
    start_time: str | None = None
    conditions: list[_PodCondition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class Pod(msgspec.Struct, frozen=True):
    metadata: _PodMetadata = _PodMetadata()
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class _PodIdentity(msgspec.Struct, frozen=True):
    metadata: _PodMetadata = _PodMetadata()


class Workload(NamedTuple):
    """The workload of a pod; a pod without an owner is of kind Pod."""

    namespace: str
    kind: str
    name: str


class PodRow(NamedTuple):
    """What is kept of a pod; `started` in seconds since 1970, `failure` the reason of a failed pod."""

    uid: str
    workload: Workload
    phase: str
    ready: bool
    restarts: int
    waiting: tuple[str, ...]
    terminated: tuple[str, ...]
    failure: str
    started: float | None
    images: tuple[tuple[str, str], ...]
    requested: Resources
    limited: Resources
    node: str

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def pod_of(raw: bytes | msgspec.Raw) -> Pod:
    """A pod; if its fields have unexpected types, only its identity is kept."""
    try:
        return msgspec.json.decode(raw, type=Pod)
    except msgspec.ValidationError:
        try:
            return Pod(metadata=msgspec.json.decode(raw, type=_PodIdentity).metadata)
        except msgspec.ValidationError:
            return Pod()


_shared_workload = functools.lru_cache(maxsize=_SHARED)(Workload)
_shared_resources = functools.lru_cache(maxsize=_SHARED)(Resources)


def workload_of(pod: Pod) -> Workload:
    """The pod's controller, or the controller of that: a Deployment for its ReplicaSet, a CronJob for its Job.

    Both follow from the name that Kubernetes gives, which takes no right to read ReplicaSets and Jobs: a ReplicaSet ends
    with the pod-template-hash, a CronJob's Job with its scheduled time in minutes since 1970.
    """
    meta = pod.metadata
    owner = next((one for one in meta.owner_references or () if one.controller), None)
    if owner is None:
        return _shared_workload(meta.namespace, "Pod", meta.name)
    template = (meta.labels or {}).get("pod-template-hash")
    if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
        return _shared_workload(meta.namespace, "Deployment", owner.name.removesuffix(f"-{template}"))
    if owner.kind == "Job" and (found := _CRON_JOB.fullmatch(owner.name)) is not None:
        waited = (seconds(meta.creation_timestamp) or 0.0) - int(found[2]) * 60.0
        if -60.0 <= waited <= _LONGEST_WAIT:
            return _shared_workload(meta.namespace, "CronJob", found[1])
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


def row_of(pod: Pod, gpu_resources: Sequence[str] = GPU_RESOURCES) -> PodRow:
    """The stored part of a pod."""
    status, spec = pod.status, pod.spec
    containers, init_containers = status.container_statuses or [], status.init_container_statuses or []
    every = [*containers, *init_containers]
    waiting = [one.state.waiting.reason for one in every if one.state.waiting is not None]
    ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions or ())
    # Completed is how an init container ends well, and says nothing.
    ended = [
        *(reason for one in containers for reason in _ended(one)),
        *(reason for one in init_containers for reason in _ended(one) if reason != "Completed"),
    ]
    return PodRow(
        uid=pod.metadata.uid,
        workload=workload_of(pod),
        phase=sys.intern(status.phase) if status.phase in PHASES else "Unknown",
        ready=ready,
        restarts=sum(one.restart_count for one in every),
        waiting=tuple(_known(reason, WAITING) for reason in waiting),
        terminated=tuple(ended),
        failure=_known(status.reason, FAILED) if status.phase == "Failed" and status.reason else "",
        started=seconds(status.start_time),
        images=tuple(dict.fromkeys(image_version(one.image) for one in spec.containers or () if one.image)),
        requested=_reserved(spec, gpu_resources, limits=False),
        limited=_reserved(spec, gpu_resources, limits=True),
        node=sys.intern(spec.node_name or ""),
    )


def _ended(container: _ContainerStatus) -> tuple[str, ...]:
    """The reasons of a container's current and last termination, each once."""
    states = (container.state.terminated, container.last_state.terminated)
    return tuple(dict.fromkeys(_known(one.reason, TERMINATED) for one in states if one is not None))


def _reserved(spec: _PodSpec, gpu_resources: Sequence[str], *, limits: bool) -> Resources:
    """Requests or limits of a pod, with its runtime's overhead."""

    def given(resources: ResourceRequirements) -> Quantities | None:
        return resources.limits if limits else resources.requests

    total = of_pod(
        [resources_of(given(one.resources), gpu_resources) for one in spec.containers or ()],
        [
            (resources_of(given(one.resources), gpu_resources), one.restart_policy == "Always")
            for one in spec.init_containers or ()
        ],
        given(spec.resources),
    )
    if spec.overhead:
        overhead = resources_of(spec.overhead, gpu_resources)
        if limits:  # what has no limit stays without
            overhead = Resources(overhead.cpu if total.cpu else 0.0, overhead.memory if total.memory else 0.0)
        total = total.plus(overhead)
    return _shared_resources(*total)


def _known(reason: str | None, known: tuple[str, ...]) -> str:
    return reason if reason in known else OTHER
