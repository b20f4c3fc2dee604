"""Existing RayServices: status, Serve applications and ready endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from exporter.config.sharding import WHOLE, Shard
from exporter.metrics.metric import OTHER, Metric, Sample, gauge, info, labels, state_set
from exporter.sources.rayjob.objects import NEW, RayService, known, ray_service
from exporter.sources.rayjob.rendered import RenderedObjects, Texts, joined

STATUSES: Final = (
    NEW, "Running", "Restarting", "WaitForServeDeploymentReady", "FailedToGetOrCreateRayCluster",
    "FailedToGetServeDeploymentStatus", "FailedToUpdateServingPodLabel", "FailedToUpdateService", OTHER,
)  # fmt: skip
APPLICATION_STATUSES: Final = ("NOT_STARTED", "DEPLOYING", "RUNNING", "DEPLOY_FAILED", "DELETING", "UNHEALTHY", OTHER)
CONDITIONS: Final = ("Ready", "UpgradeInProgress")

_SERVICE: Final = ("namespace", "rayservice")

SERVICE_STATUS = state_set(
    "ray_service_status",
    "Status of the RayService (status.serviceStatus); New if it is not running yet.",
    *_SERVICE,
    states=STATUSES,
)
SERVICE_CONDITION = gauge(
    "ray_service_condition", "Whether a condition is True; absent if not reported (status.conditions).",
    *_SERVICE, "condition",
)  # fmt: skip
ENDPOINTS = gauge("ray_service_serve_endpoints", "Ray pods that serve requests (status.numServeEndpoints).", *_SERVICE)
APPLICATIONS = gauge(
    "ray_service_applications",
    "Serve applications of the active cluster by status (status.activeServiceStatus.applicationStatuses).",
    *_SERVICE,
    "status",
)
SERVICE_INFO = info(
    "ray_service_info",
    "The RayService's active RayCluster (status.activeServiceStatus.rayClusterName).",
    *_SERVICE,
    "raycluster",
)

METRICS: Final[tuple[Metric, ...]] = (SERVICE_STATUS, SERVICE_CONDITION, ENDPOINTS, APPLICATIONS, SERVICE_INFO)


def service_texts(service: RayService) -> Texts:
    """Like `job_texts`, for a RayService and METRICS."""
    meta, status = service.metadata, service.status
    who = labels(namespace=meta.namespace, rayservice=meta.name)
    conditions = {one.type: one for one in status.conditions or () if one.type in CONDITIONS}
    endpoints = status.num_serve_endpoints if status.num_serve_endpoints is not None else status.old_serve_endpoints
    active = status.active_service_status
    applications = Counter(
        one.status if one.status in APPLICATION_STATUSES else OTHER for one in (active.application_statuses or {}).values()
    )
    return (
        SERVICE_STATUS.state_at(who, known(status.service_status, STATUSES)).text,
        "".join(
            SERVICE_CONDITION.at(who.with_label("condition", name), one.status == "True").text
            for name, one in conditions.items()
        ),
        ENDPOINTS.at(who, endpoints or 0).text,  # KubeRay omits a zero
        "".join(APPLICATIONS.at(who.with_label("status", one), applications[one]).text for one in APPLICATION_STATUSES),
        SERVICE_INFO.at(who.with_label("raycluster", active.ray_cluster_name or ""), 1).text,
    )


class RayServices(RenderedObjects[RayService]):
    """The RayServices of a shard."""

    def __init__(self, shard: Shard = WHOLE) -> None:
        super().__init__(ray_service, service_texts, shard)


def samples(rows: Sequence[Texts]) -> Iterable[Sample]:
    """The lines of all RayServices, joined per metric."""
    return joined(METRICS, rows)
