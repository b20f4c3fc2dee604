"""CPU, memory and GPUs that pods reserve and nodes offer, as the Kubernetes scheduler counts them. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import msgspec

from exporter.clients.quantity import quantity
from exporter.source_options.workloads import GPU_RESOURCES as GPU_RESOURCES

Quantities = Mapping[str, str | int | float]


class ResourceRequirements(msgspec.Struct, frozen=True):
    """`resources` of a container or of a pod."""

    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container of a pod's spec; an init container with `restartPolicy: Always` is a sidecar."""

    name: str = ""
    image: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str | None = None


class Resources(NamedTuple):
    """CPU in cores, memory in bytes, GPUs; 0 if not given."""

    cpu: float = 0.0
    memory: float = 0.0
    gpus: float = 0.0

    def plus(self, other: Resources) -> Resources:
        return Resources(self.cpu + other.cpu, self.memory + other.memory, self.gpus + other.gpus)

    def largest(self, other: Resources) -> Resources:
        """The larger one of each resource."""
        return Resources(max(self.cpu, other.cpu), max(self.memory, other.memory), max(self.gpus, other.gpus))


NOTHING: Final = Resources()


@functools.lru_cache(maxsize=1000)
def is_gpu(resource: str, patterns: Sequence[str]) -> bool:
    """Whether a resource name matches one of the patterns."""
    return any(fnmatchcase(resource, pattern) for pattern in patterns)


def gpus_of(given: Quantities | None, patterns: Sequence[str]) -> float:
    """GPUs among quantities by resource name."""
    return sum(quantity(value) or 0.0 for name, value in (given or {}).items() if "/" in name and is_gpu(name, patterns))


def resources_of(given: Quantities | None, patterns: Sequence[str]) -> Resources:
    """Quantities by resource name."""
    if not given:
        return NOTHING
    return Resources(quantity(given.get("cpu")) or 0.0, quantity(given.get("memory")) or 0.0, gpus_of(given, patterns))


def of_pod(
    containers: Iterable[Resources],
    init_containers: Iterable[tuple[Resources, bool]],
    pod: Quantities | None,
) -> Resources:
    """What a pod reserves, overhead aside.

    Sidecars (the bool of an init container) run next to the containers and all later init containers; other init
    containers run one after the other, so the largest counts. `resources` of the pod take precedence.
    """
    sidecars = peak = NOTHING
    for resources, is_sidecar in init_containers:
        peak = peak.largest(sidecars.plus(resources))
        if is_sidecar:
            sidecars = sidecars.plus(resources)
    total = sidecars
    for resources in containers:
        total = total.plus(resources)
    total = total.largest(peak)
    if pod:
        cpu, memory = quantity(pod.get("cpu")), quantity(pod.get("memory"))
        total = total._replace(cpu=total.cpu if cpu is None else cpu, memory=total.memory if memory is None else memory)
    return total


class _Usage(msgspec.Struct, frozen=True):
    cpu: str | int | float | None = None
    memory: str | int | float | None = None


class _UsedContainer(msgspec.Struct, frozen=True):
    usage: _Usage = _Usage()


class _PodMetricsMetadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _PodMetrics(msgspec.Struct, frozen=True):
    metadata: _PodMetricsMetadata = _PodMetricsMetadata()
    containers: list[_UsedContainer] | None = None


class _PodMetricsList(msgspec.Struct, frozen=True):
    items: list[_PodMetrics] | None = None


def used_of(body: bytes) -> dict[tuple[str, str], Resources]:
    """Usage by namespace and pod in a PodMetricsList. Raises msgspec.DecodeError or ValidationError for anything else."""
    return {
        (pod.metadata.namespace, pod.metadata.name): Resources(
            sum(quantity(one.usage.cpu) or 0.0 for one in pod.containers or ()),
            sum(quantity(one.usage.memory) or 0.0 for one in pod.containers or ()),
        )
        for pod in msgspec.json.decode(body, type=_PodMetricsList).items or ()
    }


class _NodeMetadata(msgspec.Struct, frozen=True):
    name: str = ""
    labels: dict[str, str] | None = None


class _NodeStatus(msgspec.Struct, frozen=True):
    allocatable: dict[str, str | int | float] | None = None


class _Node(msgspec.Struct, frozen=True):
    metadata: _NodeMetadata = _NodeMetadata()
    status: _NodeStatus = _NodeStatus()


class NodeRow(NamedTuple):
    """The pool and the GPUs of a node."""

    name: str
    pool: str
    gpus: float


def node_of(raw: bytes | msgspec.Raw, pool_label: str, gpu_resources: Sequence[str] = GPU_RESOURCES) -> NodeRow:
    """A node; the pool of a node without the label is `default`."""
    try:
        node = msgspec.json.decode(raw, type=_Node)
    except msgspec.ValidationError:
        return NodeRow("", "default", 0.0)
    gpus = gpus_of(node.status.allocatable, gpu_resources)
    return NodeRow(node.metadata.name, (node.metadata.labels or {}).get(pool_label) or "default", gpus)
