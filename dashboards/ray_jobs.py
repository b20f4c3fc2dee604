"""Dashboard "Ray jobs": RayJobs, failures and their reasons, and cluster capacity."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.rules import states
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, UNKNOWN, WAITING, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, heatmap, logs, stat, table, timeline
from dashboards.grafana.queries import RANGE, RATE, STEP, PrometheusTarget, raw, recorded, selector, variable
from dashboards.rows import ray_clusters
from dashboards.rows.common import alert_marks, coded, source_health, worded
from dashboards.rows.event_log import events
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Query, Series, like
from exporter.sources.rayjob import jobs

_JOB = ("namespace", "rayjob")
_STATES = {
    "New": ("new", WAITING),
    "Initializing": ("initializing", WAITING),
    "Running": ("running", ACCENT),
    "Complete": ("complete", OK),
    "Failed": ("failed", BAD),
    "ValidationFailed": ("invalid", BAD),
    "Suspending": ("suspending", WARN),
    "Suspended": ("suspended", WARN),
    "Retrying": ("retrying", WARN),
    "Waiting": ("waiting", WAITING),
    "other": ("unknown", UNKNOWN),
}
_URGENCY = {
    state: _STATES[state]
    for state in (
        "Failed", "ValidationFailed", "Retrying", "Suspending", "Suspended",
        "Running", "Initializing", "Waiting", "New", "other", "Complete",
    )
}  # fmt: skip
"""The table shows failed and open RayJobs before completed ones."""
_RAY_STATES = {
    "New": ("new", WAITING),
    "PENDING": ("pending", WAITING),
    "RUNNING": ("running", ACCENT),
    "STOPPED": ("stopped", WARN),
    "SUCCEEDED": ("succeeded", OK),
    "FAILED": ("failed", BAD),
    "other": ("unknown", UNKNOWN),
}


def _job(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, namespace=variable("namespace"), rayjob=variable("rayjob"), **matchers)


def _cluster(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, namespace=variable("namespace"), **matchers)


def _count(states: str) -> PrometheusTarget:
    return PrometheusTarget(_cluster(jobs.JOBS, state=like(states)).sum())


def _state(metric: Metric, states: dict[str, tuple[str, str]]) -> Query:
    return coded(metric, tuple(states), *_JOB, namespace=variable("namespace"), rayjob=variable("rayjob"))


_recorded = recorded(states.RAY_JOBS, namespace=variable("namespace"), rayjob=variable("rayjob")).max(*_JOB)
# Without RayJobs that were deleted since: hundreds of pages after some days.
_existing = raw(f"{_recorded} and on ({', '.join(_JOB)}) ({_job(jobs.JOB_CREATED)} @ end())", *_JOB)
_started = _job(jobs.JOB_START)
_duration = (_job(jobs.JOB_END) - _started).max(*_JOB) | _started.age().max(*_JOB)
_ended = _cluster(jobs.DURATION).part("_count")
_failed_ones = _job(jobs.JOB_RETRIES).max(*_JOB)
_why = Link("Pods", DashboardUid.OVERVIEW, {"namespace": "namespace"})
_agents = [Link("Agents", DashboardUid.AGENTS)]

DASHBOARD = Dashboard(
    view=DashboardUid.RAY_JOBS,
    title="Ray jobs",
    description="What runs on Ray, what failed and why, and is there capacity?",
    variables=[
        variables.of("namespace", "namespace", "Namespace", "Namespaces of the RayJobs.", selector(jobs.JOBS)),
        variables.of(
            "rayjob", "rayjob", "RayJob", "Existing RayJobs.", selector(jobs.JOB_CREATED, namespace=variable("namespace"))
        ),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("ray")],
    rows=[
        Row(
            "",
            [
                *source_health("rayjob", "RayJobs", width=3),
                stat(
                    "Running",
                    "RayJobs in state Running (ray_jobs).",
                    _count("Running"),
                    width=3,
                    decimals=0,
                ),
                stat(
                    "Waiting",
                    "Accepted RayJobs that are not running: new, initializing, waiting, suspended or retrying (ray_jobs).",
                    _count("New|Initializing|Waiting|Suspending|Suspended|Retrying"),
                    width=3,
                    decimals=0,
                ),
                stat(
                    "Retried",
                    "Existing RayJobs with at least one failed attempt (ray_job_failed_attempts).",
                    PrometheusTarget((_failed_ones > 0).count() | _failed_ones.count() * 0),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN)],
                ),
                stat(
                    "Completed",
                    "Attempts that succeeded in the time range (ray_job_duration_seconds_count, outcome succeeded).",
                    PrometheusTarget(_cluster(jobs.DURATION, outcome="succeeded").part("_count").increase(RANGE).sum()),
                    width=3,
                    decimals=0,
                    base=OK,
                ),
                stat(
                    "Failed",
                    "Attempts that failed in the time range (ray_job_duration_seconds_count, outcome failed); no data "
                    "before the first RayJob.",
                    PrometheusTarget(_cluster(jobs.DURATION, outcome="failed").part("_count").increase(RANGE).sum()),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, BAD)],
                ),
                stat(
                    "Mean time",
                    "Mean duration of attempts that finished in the time range (ray_job_duration_seconds); no data if "
                    "none finished.",
                    PrometheusTarget(
                        _cluster(jobs.DURATION).part("_sum").increase(RANGE).sum().share_of(_ended.increase(RANGE).sum())
                    ),
                    unit="s",
                    width=3,
                ),
                table(
                    "RayJobs",
                    "Existing RayJobs: KubeRay state, Ray state, duration, failed attempts and failure reason "
                    "(ray_job_deployment_status, ray_job_status, ray_job_failure_reason_info).",
                    _JOB,
                    [
                        (
                            FieldOverride("state", states=worded(_URGENCY), width=110),
                            PrometheusTarget(_state(jobs.JOB_DEPLOYMENT, _URGENCY)),
                        ),
                        (
                            FieldOverride("Ray state", states=worded(_RAY_STATES), width=110),
                            PrometheusTarget(_state(jobs.JOB_STATUS, _RAY_STATES)),
                        ),
                        (FieldOverride("duration", unit="s"), PrometheusTarget(_duration)),
                        (
                            FieldOverride("failed attempts", limits=[Threshold(1, WARN)], decimals=0),
                            PrometheusTarget(_failed_ones),
                        ),
                        (
                            FieldOverride("reason info", hidden=True),
                            PrometheusTarget(_job(jobs.JOB_REASON).max(*_JOB, "reason")),
                        ),
                        (
                            FieldOverride("job info", hidden=True),
                            PrometheusTarget(_job(jobs.JOB_INFO).max(*_JOB, "role")),
                        ),
                    ],
                    labels={"reason": "reason", "role": "role"},
                    key_columns=[
                        FieldOverride("namespace", links=[_why]),
                        FieldOverride(
                            "rayjob",
                            links=[
                                Link("Only this RayJob", DashboardUid.RAY_JOBS, {"rayjob": "rayjob"}),
                                ApiLink("Finished job and driver log", path="/api/ray/jobs/{namespace}/{rayjob}"),
                            ],
                        ),
                        FieldOverride("role", links=_agents),
                    ],
                    sort="state",
                    descending=False,
                    width=24,
                    height=10,
                    rows=25,
                ),
                timeline(
                    "States",
                    "KubeRay state of each existing RayJob over time (ray_job_deployment_status). Gaps: the RayJob did not "
                    "exist, or the exporter could not read it.",
                    PrometheusTarget(_existing, "{{namespace}}/{{rayjob}}"),
                    states=worded(_STATES),
                    width=24,
                    height=10,
                    links=[Link("Only this RayJob", DashboardUid.RAY_JOBS, {"rayjob": "rayjob"})],
                ),
            ],
        ),
        Row(
            "Rates and durations",
            [
                graph(
                    "RayJobs by state",
                    "Existing RayJobs by state (ray_jobs).",
                    PrometheusTarget(_cluster(jobs.JOBS).sum("state") > 0, "{{state}}"),
                    unit="locale",
                    width=8,
                    stacked=True,
                    columns=[FieldOverride(state, color=color) for state, (_, color) in _STATES.items()],
                ),
                graph(
                    "Finished attempts",
                    "Finished attempts by outcome (ray_job_duration_seconds_count), and failed attempts including retried "
                    "ones (ray_job_attempt_failures_total).",
                    PrometheusTarget(_ended.increase(STEP).sum("outcome"), "{{outcome}}"),
                    PrometheusTarget(_cluster(jobs.FAILED_ATTEMPTS).increase(STEP).sum(), "failed, including retries"),
                    unit="locale",
                    width=8,
                    bars=True,
                    stacked=True,
                    columns=[
                        FieldOverride("succeeded", color=OK),
                        FieldOverride("failed", color=BAD),
                        FieldOverride("stopped", color=WARN),
                    ],
                ),
                graph(
                    "Durations",
                    "Duration of finished attempts by outcome, p50 and p95 (ray_job_duration_seconds).",
                    PrometheusTarget(_cluster(jobs.DURATION).quantile(0.5, "outcome", window=RATE), "{{outcome}}, p50"),
                    PrometheusTarget(_cluster(jobs.DURATION).quantile(0.95, "outcome", window=RATE), "{{outcome}}, p95"),
                    unit="s",
                    width=8,
                ),
                heatmap(
                    "Attempts by duration",
                    "Finished attempts by duration; darker cells have more attempts (ray_job_duration_seconds_bucket).",
                    PrometheusTarget(_cluster(jobs.DURATION).bucket_rate(RATE).sum("le"), "{{le}}"),
                    unit="s",
                    width=12,
                ),
                graph(
                    "Time in queue",
                    "Time since creation of RayJobs that have not started (ray_job_created_timestamp_seconds); line: "
                    "threshold of RayJobPending.",
                    PrometheusTarget(
                        _job(jobs.JOB_CREATED)
                        .age()
                        .only_with(_job(jobs.JOB_DEPLOYMENT, state=like("New|Initializing|Waiting")).equals(1), *_JOB)
                        .max(*_JOB),
                        "{{namespace}}/{{rayjob}}",
                    ),
                    unit="s",
                    limits=[Threshold(thresholds.RAY_JOB_PENDING_SECONDS, WARN)],
                    width=12,
                ),
            ],
        ),
        ray_clusters.CLUSTERS,
        Row(
            "RayJob details",
            [
                table(
                    "RayJob details",
                    "RayCluster, start time and allowed retries of each RayJob (ray_job_info, ray_job_backoff_limit).",
                    _JOB,
                    [
                        (FieldOverride("info", hidden=True), PrometheusTarget(_job(jobs.JOB_INFO).max(*_JOB, "raycluster"))),
                        (FieldOverride("started", unit="dateTimeFromNow"), PrometheusTarget(_started.max(*_JOB) * 1000)),
                        (FieldOverride("retries allowed", decimals=0), PrometheusTarget(_job(jobs.JOB_BACKOFF).max(*_JOB))),
                    ],
                    labels={"raycluster": "cluster"},
                    key_columns=[FieldOverride("namespace", links=[_why])],
                    sort="started",
                    width=24,
                    height=8,
                    rows=25,
                ),
            ],
            collapsed=True,
        ),
        Row(
            "Agent responses",
            [
                logs(
                    "Agent responses of jobs",
                    "Responses from agents in RayJobs, from Loki: outcome, error and duration. The details of a line "
                    "include story, task and agent.",
                    events('family="agent"', 'producer=~"ray.*"'),
                    width=24,
                )
            ],
        ),
    ],
)
