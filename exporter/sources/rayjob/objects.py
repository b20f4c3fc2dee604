"""KubeRay objects as typed records: JSON → records, pure. An object without a status is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from exporter.metrics.metric import OTHER

_TEXT_MAP = dict[str, str]


class RayMetadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation: str = msgspec.field(name="creationTimestamp", default="")
    labels: _TEXT_MAP | None = None
    annotations: _TEXT_MAP | None = None

    def named(self, key: str) -> str:
        """The value of a label or annotation; empty if there is neither."""
        return (self.labels or {}).get(key) or (self.annotations or {}).get(key, "")


class RayJobSpec(msgspec.Struct, frozen=True, rename="camel"):
    backoff_limit: int | None = None


class RayJobStatus(msgspec.Struct, frozen=True, rename="camel"):
    job_id: str | None = None
    ray_cluster_name: str | None = None
    job_status: str | None = None
    job_deployment_status: str | None = None
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    succeeded: int | None = None
    failed: int | None = None
    dashboard_url: str | None = msgspec.field(name="dashboardURL", default=None)


class RayJob(msgspec.Struct, frozen=True):
    metadata: RayMetadata = RayMetadata()
    spec: RayJobSpec = RayJobSpec()
    status: RayJobStatus = RayJobStatus()


class RayCondition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class RayClusterStatus(msgspec.Struct, frozen=True, rename="camel"):
    state: str | None = None
    desired_worker_replicas: int | None = None
    available_worker_replicas: int | None = None
    ready_worker_replicas: int | None = None
    min_worker_replicas: int | None = None
    max_worker_replicas: int | None = None
    state_transition_times: dict[str, str | None] | None = None
    desired_cpu: str | int | float | None = msgspec.field(name="desiredCPU", default=None)
    desired_memory: str | int | float | None = None
    desired_gpu: str | int | float | None = msgspec.field(name="desiredGPU", default=None)
    desired_tpu: str | int | float | None = msgspec.field(name="desiredTPU", default=None)
    conditions: list[RayCondition] | None = None


class RayCluster(msgspec.Struct, frozen=True):
    metadata: RayMetadata = RayMetadata()
    status: RayClusterStatus = RayClusterStatus()


class AppStatus(msgspec.Struct, frozen=True):
    """One Serve application of a RayService."""

    status: str | None = None


class ActiveService(msgspec.Struct, frozen=True, rename="camel"):
    application_statuses: dict[str, AppStatus] | None = None
    ray_cluster_name: str | None = None


class RayServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    """`numServeEndpoints` is written with a capital N by KubeRay before 1.3."""

    service_status: str | None = None
    active_service_status: ActiveService = ActiveService()
    num_serve_endpoints: int | None = None
    old_serve_endpoints: int | None = msgspec.field(name="NumServeEndpoints", default=None)
    conditions: list[RayCondition] | None = None


class RayService(msgspec.Struct, frozen=True):
    metadata: RayMetadata = RayMetadata()
    status: RayServiceStatus = RayServiceStatus()


class RayCronJobSpec(msgspec.Struct, frozen=True):
    schedule: str = ""
    suspend: bool = False


class RayCronJobStatus(msgspec.Struct, frozen=True, rename="camel"):
    last_schedule_time: str | None = None
    schedule_status: str | None = None


class RayCronJob(msgspec.Struct, frozen=True):
    metadata: RayMetadata = RayMetadata()
    spec: RayCronJobSpec = RayCronJobSpec()
    status: RayCronJobStatus = RayCronJobStatus()


RayObject = TypeVar("RayObject", RayJob, RayCluster, RayService, RayCronJob)


class _RayIdentity(msgspec.Struct, frozen=True):
    metadata: RayMetadata = RayMetadata()


def ray_job(raw: bytes | msgspec.Raw) -> RayJob:
    """A RayJob; if its fields have unexpected types, only its identity is kept."""
    return _decoded(raw, RayJob)


def ray_cluster(raw: bytes | msgspec.Raw) -> RayCluster:
    """Like `ray_job`, for a RayCluster."""
    return _decoded(raw, RayCluster)


def ray_service(raw: bytes | msgspec.Raw) -> RayService:
    """Like `ray_job`, for a RayService."""
    return _decoded(raw, RayService)


def ray_cron_job(raw: bytes | msgspec.Raw) -> RayCronJob:
    """Like `ray_job`, for a RayCronJob."""
    return _decoded(raw, RayCronJob)


def _decoded(raw: bytes | msgspec.Raw, kind: type[RayObject]) -> RayObject:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return kind(metadata=_identity(raw))


def _identity(raw: bytes | msgspec.Raw) -> RayMetadata:
    try:
        return msgspec.json.decode(raw, type=_RayIdentity).metadata
    except msgspec.ValidationError:
        return RayMetadata()


NEW: Final = "New"

Key = tuple[str, str]
"""(namespace, name)"""


def known(value: str | None, states: Sequence[str]) -> str:
    """The state if known, `New` if absent, `other` if unknown."""
    if not value:
        return NEW
    return value if value in states else OTHER


def key_of(meta: RayMetadata) -> Key:
    return meta.namespace, meta.name
