"""Existing RayJobs, stored as rendered samples: rendered on change, joined per scrape."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from exporter.config.sharding import WHOLE, Shard
from exporter.events.values import role_of
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import OTHER, Metric, Sample, Unit, counter, gauge, histogram, info, labels, state_set
from exporter.metrics.timestamps import seconds
from exporter.sources.rayjob.objects import NEW, Key, RayJob, RayJobStatus, key_of, known, ray_job

JOB_STATES: Final = (NEW, "PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED", OTHER)
DEPLOYMENT_STATES: Final = (
    NEW, "Initializing", "Running", "Complete", "Failed", "ValidationFailed", "Suspending", "Suspended", "Retrying",
    "Waiting", OTHER,
)  # fmt: skip
REASONS: Final = (
    "SubmissionFailed", "DeadlineExceeded", "PreRunningDeadlineExceeded", "AppFailed",
    "JobDeploymentStatusTransitionGracePeriodExceeded", "JobStatusCheckTimeoutExceeded", "ValidationFailed", OTHER,
)  # fmt: skip
OUTCOMES: Final = {"SUCCEEDED": "succeeded", "FAILED": "failed", "STOPPED": "stopped"}
"""The label `outcome` by jobStatus."""
_FAILED_DEPLOYMENTS: Final = ("Failed", "ValidationFailed")
BUCKETS: Final = (
    1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0,
    3600.0, 7200.0, 21600.0, 86400.0,
)  # fmt: skip

NAMESPACE_SECONDS: Final = 6 * 3600.0
"""The attempts of a namespace are forgotten this long after its last RayJob; namespaces may be created for one test each."""

_JOB: Final = ("namespace", "rayjob")

JOB_STATUS = state_set(
    "ray_job_status",
    "State of the Ray job (status.jobStatus); FAILED if the RayJob has failed while jobStatus is not terminal.",
    *_JOB,
    states=JOB_STATES,
)
JOB_DEPLOYMENT = state_set(
    "ray_job_deployment_status",
    "State of the RayJob resource (status.jobDeploymentStatus).",
    *_JOB,
    states=DEPLOYMENT_STATES,
)
JOB_REASON = info("ray_job_failure_reason_info", "Why the RayJob failed (status.reason).", *_JOB, "reason")
JOB_CREATED = gauge(
    "ray_job_created_timestamp_seconds",
    "Creation time of the RayJob (metadata.creationTimestamp).",
    *_JOB,
    unit=Unit.TIMESTAMP,
)
JOB_START = gauge(
    "ray_job_start_timestamp_seconds", "Start time of the RayJob (status.startTime).", *_JOB, unit=Unit.TIMESTAMP
)
JOB_END = gauge("ray_job_end_timestamp_seconds", "End time of the RayJob (status.endTime).", *_JOB, unit=Unit.TIMESTAMP)
JOB_RETRIES = gauge("ray_job_failed_attempts", "Failed attempts (status.failed).", *_JOB)
JOB_BACKOFF = gauge("ray_job_backoff_limit", "Max retries (spec.backoffLimit).", *_JOB)
JOB_SUCCEEDED = gauge("ray_job_succeeded_attempts", "Succeeded attempts (status.succeeded).", *_JOB)
JOB_INFO = info("ray_job_info", "The RayJob's RayCluster, agent and role.", *_JOB, "raycluster", "agent", "role")

JOBS = gauge("ray_jobs", "RayJobs by state of the resource (status.jobDeploymentStatus).", "namespace", "state")
DURATION = histogram(
    "ray_job_duration_seconds",
    "Duration of attempts that finished while the exporter was running (status.endTime - status.startTime); no data from 6 "
    "hours after the last RayJob of a namespace.",
    "namespace", "outcome", unit=Unit.SECONDS, bounds=BUCKETS,
)  # fmt: skip
FAILED_ATTEMPTS = counter(
    "ray_job_attempt_failures_total",
    "Failed attempts while the exporter was running, including retried ones (increases of status.failed).",
    "namespace",
)
UNKNOWN = counter("ray_job_unknown_states_total", "Unknown values of a state field.", "field")

JOB_METRICS: Final = (
    JOB_STATUS, JOB_DEPLOYMENT, JOB_REASON, JOB_CREATED, JOB_START, JOB_END, JOB_RETRIES,
    JOB_SUCCEEDED, JOB_BACKOFF, JOB_INFO
)  # fmt: skip
METRICS: Final[tuple[Metric, ...]] = (*JOB_METRICS, JOBS, DURATION, FAILED_ATTEMPTS, UNKNOWN)


@dataclass(frozen=True)
class Correlation:
    """Labels or annotations with the agent, task and role of a RayJob."""

    agent: str
    task: str
    role: str
    story: str


class JobRow(NamedTuple):
    """The stored part of a RayJob: rendered samples per metric, and the fields for aggregates."""

    texts: tuple[str, ...]
    uid: str
    namespace: str
    state: str
    status: str
    started: float | None
    ended: float | None
    agent: str
    task: str
    role: str
    story: str


def job_state(status: RayJobStatus) -> str:
    """State of the Ray job; KubeRay does not update jobStatus when it fails a RayJob itself, such as by a deadline."""
    if status.job_deployment_status in _FAILED_DEPLOYMENTS and status.job_status not in OUTCOMES:
        return "FAILED"
    return known(status.job_status, JOB_STATES)


def outcome(status: RayJobStatus) -> str:
    """Outcome of a finished attempt: succeeded, failed, stopped, or other for an unknown state."""
    return OUTCOMES.get(job_state(status), OTHER)


def job_texts(job: RayJob, correlation: Correlation) -> tuple[str, ...]:
    """The lines of one RayJob, one text per metric in JOB_METRICS, empty if the metric does not apply."""
    meta, status = job.metadata, job.status
    who = labels(namespace=meta.namespace, rayjob=meta.name)
    reason = status.reason or ""
    created, started, ended = seconds(meta.creation), seconds(status.start_time), seconds(status.end_time)
    return (
        JOB_STATUS.state_at(who, job_state(status)).text,
        JOB_DEPLOYMENT.state_at(who, known(status.job_deployment_status, DEPLOYMENT_STATES)).text,
        JOB_REASON.at(who.with_label("reason", known(reason, REASONS)), 1).text if reason else "",
        JOB_CREATED.at(who, created).text if created is not None else "",
        JOB_START.at(who, started).text if started is not None else "",
        JOB_END.at(who, ended).text if ended is not None else "",
        JOB_RETRIES.at(who, status.failed or 0).text,
        JOB_SUCCEEDED.at(who, status.succeeded or 0).text,
        JOB_BACKOFF.at(who, job.spec.backoff_limit).text if job.spec.backoff_limit is not None else "",
        JOB_INFO(
            1,
            namespace=meta.namespace,
            rayjob=meta.name,
            raycluster=status.ray_cluster_name or "",
            agent=meta.named(correlation.agent),
            role=role_of(meta.named(correlation.role)) or "",
        ).text,
    )


@dataclass
class Attempts:
    """Counters of attempts that finish while the exporter runs.

    The first list is a baseline and is not counted, so `increase()` is correct after a restart, even if RayJobs were deleted
    in the meantime. Each attempt, identified by uid and start time, is counted once. `clock` is in seconds and monotonic.
    """

    clock: Callable[[], float] = time.monotonic

    durations: dict[Key, Histogram] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    """Failed attempts by namespace."""
    _finished: dict[str, float] = field(default_factory=dict)
    """uid → start of the last finished attempt."""
    _failed: dict[str, int] = field(default_factory=dict)
    """uid → status.failed as last seen."""
    _used: dict[str, float] = field(default_factory=dict)
    """When each namespace last had a RayJob, by the clock."""

    def see(self, job: RayJob, *, is_baseline: bool) -> None:
        """Count new attempts of a job."""
        meta, status = job.metadata, job.status
        self._used[meta.namespace] = self.clock()
        self.failures.setdefault(meta.namespace, 0)
        for one in OUTCOMES.values():  # so that the first one is an increase
            self.durations.setdefault((meta.namespace, one), Histogram(BUCKETS))
        failed, before = max(status.failed or 0, 0), self._failed.get(meta.uid, 0)
        if failed != before:
            self._failed[meta.uid] = failed
            if not is_baseline:
                self.failures[meta.namespace] += max(failed - before, 0)
        started, ended = seconds(status.start_time), seconds(status.end_time)
        if started is None or ended is None or ended < started or self._finished.get(meta.uid, -1.0) >= started:
            return
        self._finished[meta.uid] = started
        if not is_baseline:
            key = (meta.namespace, outcome(status))
            self.durations.setdefault(key, Histogram(BUCKETS)).observe(ended - started)

    def forget(self, uid: str) -> None:
        """The object is deleted; uids are never reused."""
        self._finished.pop(uid, None)
        self._failed.pop(uid, None)

    def forget_unused(self, present: Collection[str]) -> None:
        """Forget the namespaces without a RayJob for NAMESPACE_SECONDS; `present` have one now."""
        now = self.clock()
        self._used |= dict.fromkeys(present, now)
        self._used = {namespace: at for namespace, at in self._used.items() if now - at <= NAMESPACE_SECONDS}
        self.failures = {namespace: count for namespace, count in self.failures.items() if namespace in self._used}
        self.durations = {key: found for key, found in self.durations.items() if key[0] in self._used}

    def samples(self) -> Iterable[Sample]:
        for (namespace, ending), durations in self.durations.items():
            yield durations.sample(DURATION, labels(namespace=namespace, outcome=ending))
        for namespace, count in self.failures.items():
            yield FAILED_ATTEMPTS(count, namespace=namespace)


class RayJobs:
    """An ObjectStore of RayJobs; ignores RayJobs of other shards."""

    def __init__(self, correlation: Correlation, shard: Shard = WHOLE, clock: Callable[[], float] = time.monotonic) -> None:
        self._correlation = correlation
        self._shard = shard
        self._scopes: dict[str, dict[Key, JobRow]] = defaultdict(dict)
        self._listed: set[str] = set()
        self.attempts = Attempts(clock)
        self.unknown_states = {"jobStatus": 0, "jobDeploymentStatus": 0, "reason": 0}

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, JobRow]:
        jobs = [ray_job(raw) for raw in objects]
        is_baseline = scope not in self._listed
        return dict(
            self._row(scope, job, is_baseline=is_baseline) for job in jobs if self._shard.owns(*key_of(job.metadata))
        )

    def replace(self, scope: str, rows: dict[Key, JobRow]) -> None:
        kept = {row.uid for row in rows.values()}
        for row in self._scopes[scope].values():
            if row.uid not in kept:
                self.attempts.forget(row.uid)
        self._scopes[scope] = rows
        self._listed.add(scope)

    # jscpd:ignore-start - the protocol's, as in workloads; sources share no code
    def clear(self, scope: str) -> None:
        self.replace(scope, {})
        self._listed.discard(scope)

    # jscpd:ignore-end
    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        job = ray_job(raw)
        if not self._shard.owns(*key_of(job.metadata)):
            return
        if kind == "DELETED":
            self.attempts.see(job, is_baseline=False)  # its last state may be new
            self._scopes[scope].pop(key_of(job.metadata), None)
            self.attempts.forget(job.metadata.uid)
        elif kind in ("ADDED", "MODIFIED"):
            key, row = self._row(scope, job, is_baseline=False)
            self._scopes[scope][key] = row

    def _row(self, scope: str, job: RayJob, *, is_baseline: bool) -> tuple[Key, JobRow]:
        """The stored part of a job; counts its attempts."""
        self.attempts.see(job, is_baseline=is_baseline)
        meta, names = job.metadata, self._correlation
        row = JobRow(
            texts=job_texts(job, names),
            uid=meta.uid,
            namespace=meta.namespace,
            state=known(job.status.job_deployment_status, DEPLOYMENT_STATES),
            status=job_state(job.status),
            started=seconds(job.status.start_time),
            ended=seconds(job.status.end_time),
            agent=meta.named(names.agent),
            task=meta.named(names.task),
            role=role_of(meta.named(names.role)) or "",
            story=meta.named(names.story),
        )
        key = key_of(meta)
        before = self._scopes[scope].get(key)
        if not is_baseline and (before is None or before.texts != row.texts):
            self._count_unknown(job)
        return key, row

    def rows_now(self) -> dict[Key, JobRow]:
        """All RayJobs by namespace and name."""
        rows = {key: row for scope in self._scopes.values() for key, row in scope.items()}
        self.attempts.forget_unused({namespace for namespace, _ in rows})
        return rows

    def _count_unknown(self, job: RayJob) -> None:
        status = job.status
        fields = (
            ("jobStatus", status.job_status, JOB_STATES),
            ("jobDeploymentStatus", status.job_deployment_status, DEPLOYMENT_STATES),
            ("reason", status.reason, REASONS),
        )
        for name, value, states in fields:
            if known(value, states) == OTHER:
                self.unknown_states[name] += 1


def samples(rows: Sequence[JobRow]) -> Iterable[Sample]:
    """The lines of all RayJobs, joined per metric, and the number of RayJobs by state."""
    for metric, texts in zip(JOB_METRICS, zip(*[row.texts for row in rows], strict=True), strict=bool(rows)):
        yield metric.lines("".join(texts))
    states: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(DEPLOYMENT_STATES, 0))
    for row in rows:
        states[row.namespace][row.state] += 1
    for namespace, counts in states.items():
        for state, count in counts.items():
            yield JOBS(count, namespace=namespace, state=state)


def unknown_samples(counts: Mapping[str, int]) -> Iterable[Sample]:
    """Counter of unknown values by field."""
    for name, count in counts.items():
        yield UNKNOWN(count, field=name)
