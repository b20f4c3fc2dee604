"""RayJobs, RayClusters, RayServices and RayCronJobs, as reported by the Kubernetes API."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, Severity
from alerts.rules import sources
from alerts.thresholds import RAY_JOB_NEWS_SECONDS, RAY_JOB_PENDING_SECONDS
from exporter.metrics.promql import like, series
from exporter.sources.rayjob import clusters, cron_jobs, jobs, services

_JOB = ("namespace", "rayjob")
_WHICH = "{{ $labels.namespace }}/{{ $labels.rayjob }}"
_WHICH_CLUSTER = "{{ $labels.namespace }}/{{ $labels.raycluster }}"

# KubeRay keeps a failed RayJob until it is deleted, so an alert on the state alone would never resolve. A RayJob that was
# rejected before it started has no end time, only a creation time.
_NEWS = ((series(jobs.JOB_END) | series(jobs.JOB_CREATED)).age() < RAY_JOB_NEWS_SECONDS).without("max")
_FAILED = (
    series(jobs.JOB_DEPLOYMENT, state=like("Failed|ValidationFailed")).equals(1)
    | series(jobs.JOB_STATUS, state="FAILED").equals(1)
).without("max", "state")  # fmt: skip
_NOT_OVER = (
    series(jobs.JOB_DEPLOYMENT, state=like("New|Initializing|Running|Retrying|Waiting")).equals(1).without("max", "state")
)
_OLD = (series(jobs.JOB_CREATED).age() > RAY_JOB_PENDING_SECONDS).without("max")
# A cluster suspended by a queue (Kueue, `spec.suspend`) lacks its desired workers on purpose.
_SUSPENDED = series(clusters.CLUSTER_STATE, state="suspended").equals(1)
_NOT_RUNNING = (
    series(jobs.JOB_DEPLOYMENT, state=like("New|Initializing|Waiting")).equals(1)
    | series(jobs.JOB_STATUS, state="PENDING").equals(1)
).without("max", "state")  # fmt: skip
# A job that a queue has just admitted, or that is tried again, is old and starts only now.
_QUEUED_BEFORE = (
    series(jobs.JOB_DEPLOYMENT, state=like("Suspending|Suspended|Retrying"))
    .max_over("15m")
    .equals(1)
    .without("max", "state")
)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "RayJobsUnreadable",
        "rayjob",
        Component.RAY,
        "RayJobs cannot be read",
        DashboardUid.RAY_JOBS,
        because="workloads",
        catches="A role binding that was removed, so that failed RayJobs are no longer reported.",
    ),
    AlertingRule(
        name="RayJobFailed",
        query=(_FAILED & _NEWS).unless(series(jobs.JOB_DEPLOYMENT, state="Retrying").equals(1).without("max", "state")),
        severity=Severity.WARNING,
        component=Component.RAY,
        summary="RayJob failed",
        catches="A RayJob that ran into its deadline or whose entrypoint failed; its task waits for a result.",
        description=f"{_WHICH} failed in the last 15 minutes; ray_job_failure_reason_info has the reason.",
        view=DashboardUid.RAY_JOBS,
        variables=_JOB,
        limits=("RAY_JOB_NEWS_SECONDS",),
    ),
    AlertingRule(
        name="RayJobRetrying",
        query=(series(jobs.JOB_RETRIES) > 0).without("max") & _NOT_OVER,
        severity=Severity.INFO,
        component=Component.RAY,
        summary="RayJob is retrying",
        catches="A RayJob that burns GPU hours on attempts that fail the same way.",
        description=f"{_WHICH} has {COUNT} failed attempts and is being retried.",
        view=DashboardUid.RAY_JOBS,
        variables=_JOB,
    ),
    AlertingRule(
        name="RayJobPending",
        query=(_NOT_RUNNING & _OLD).unless(_QUEUED_BEFORE),
        severity=Severity.WARNING,
        component=Component.RAY,
        summary="RayJob is stuck in Pending",
        catches="A RayJob whose image cannot be pulled, or that needs GPUs that no node has.",
        description=f"{_WHICH} has been waiting to start for more than 15 minutes, not counting time in a queue.",
        view=DashboardUid.RAY_JOBS,
        variables=_JOB,
        limits=("RAY_JOB_PENDING_SECONDS",),
        for_="5m",
    ),
    AlertingRule(
        name="RayClusterWorkersBelowDesired",
        query=(series(clusters.WORKERS["ready"]).max_over("5m") < series(clusters.WORKERS["desired"]).min_over("5m")).unless(
            _SUSPENDED, ignoring=("state",)
        ),
        severity=Severity.WARNING,
        component=Component.RAY,
        summary="RayCluster has fewer workers than desired",
        catches="GPU nodes that the autoscaler cannot provision: jobs run at a fraction of the planned speed.",
        description=f"{_WHICH_CLUSTER} has {COUNT} ready workers, and has had fewer than desired for 15 minutes.",
        view=DashboardUid.RAY_JOBS,
        variables=("namespace",),
        for_="15m",
    ),
    AlertingRule(
        name="RayClusterFailed",
        query=series(clusters.CLUSTER_STATE, state="failed").equals(1),
        severity=Severity.CRITICAL,
        component=Component.RAY,
        summary="RayCluster failed",
        catches="A RayCluster whose head cannot start, for example because of a quota.",
        description=f"{_WHICH_CLUSTER} is in state failed; no agent can run on it.",
        view=DashboardUid.RAY_JOBS,
        variables=("namespace",),
        for_="2m",
    ),
    AlertingRule(
        name="RayServiceUnhealthy",
        query=(series(services.APPLICATIONS, status=like("DEPLOY_FAILED|UNHEALTHY")) > 0).without("max", "status"),
        severity=Severity.CRITICAL,
        component=Component.RAY,
        summary="RayService application is unhealthy",
        catches="A Serve deployment that failed to load its model; the RayService itself is still Running.",
        description=(
            f"{{{{ $labels.namespace }}}}/{{{{ $labels.rayservice }}}} has had {COUNT} Serve applications that are "
            "unhealthy or failed to deploy for 5 minutes; requests to them fail."
        ),
        view=DashboardUid.RAY_JOBS,
        variables=("namespace",),
        for_="5m",
    ),
    AlertingRule(
        name="RayCronJobInvalid",
        query=series(cron_jobs.INVALID).equals(1),
        severity=Severity.WARNING,
        component=Component.RAY,
        summary="RayCronJob is invalid",
        catches="A typo in a schedule: no job fails, because none is created.",
        description=(
            "KubeRay rejects {{ $labels.namespace }}/{{ $labels.raycronjob }}; no RayJob is created until it is corrected."
        ),
        view=DashboardUid.RAY_JOBS,
        variables=("namespace",),
        for_="5m",
    ),
)
