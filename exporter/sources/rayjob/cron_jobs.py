"""Existing RayCronJobs: schedule and last created RayJob."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from exporter.config.sharding import WHOLE, Shard
from exporter.metrics.metric import Metric, Sample, Unit, gauge, info, labels
from exporter.metrics.timestamps import seconds
from exporter.sources.rayjob.objects import RayCronJob, ray_cron_job
from exporter.sources.rayjob.rendered import RenderedObjects, Texts, joined

_CRON_JOB: Final = ("namespace", "raycronjob")
_INVALID: Final = "validationFailed"

LAST_SCHEDULED = gauge(
    "ray_cron_job_last_schedule_timestamp_seconds",
    "Time when the RayCronJob last created a RayJob; no data before the first (status.lastScheduleTime).",
    *_CRON_JOB,
    unit=Unit.TIMESTAMP,
)
SUSPENDED = gauge("ray_cron_job_suspended", "Whether the RayCronJob is suspended (spec.suspend).", *_CRON_JOB)
INVALID = gauge(
    "ray_cron_job_validation_failed",
    "Whether KubeRay has rejected the RayCronJob's schedule or template (status.scheduleStatus).",
    *_CRON_JOB,
)
CRON_JOB_INFO = info("ray_cron_job_info", "The RayCronJob's schedule (spec.schedule).", *_CRON_JOB, "schedule")

METRICS: Final[tuple[Metric, ...]] = (LAST_SCHEDULED, SUSPENDED, INVALID, CRON_JOB_INFO)


def cron_job_texts(cron_job: RayCronJob) -> Texts:
    """Like `job_texts`, for a RayCronJob and METRICS."""
    meta, status = cron_job.metadata, cron_job.status
    who = labels(namespace=meta.namespace, raycronjob=meta.name)
    scheduled = seconds(status.last_schedule_time)
    return (
        LAST_SCHEDULED.at(who, scheduled).text if scheduled is not None else "",
        SUSPENDED.at(who, cron_job.spec.suspend).text,
        INVALID.at(who, status.schedule_status == _INVALID).text,
        CRON_JOB_INFO.at(who.with_label("schedule", cron_job.spec.schedule), 1).text,
    )


class RayCronJobs(RenderedObjects[RayCronJob]):
    """The RayCronJobs of a shard."""

    def __init__(self, shard: Shard = WHOLE) -> None:
        super().__init__(ray_cron_job, cron_job_texts, shard)


def samples(rows: Sequence[Texts]) -> Iterable[Sample]:
    """The lines of all RayCronJobs, joined per metric."""
    return joined(METRICS, rows)
