"""The RayJobs that exist, each kept as the text of its samples: made once per change, joined per scrape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from exporter.config.sharding import WHOLE, Shard
from exporter.events.model import role_of
from exporter.metrics.histogram import Distribution
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, info, labels, state_set
from exporter.sources.rayjob.objects import NEW, OTHER, Key, RayJob, key_of, known, ray_job, seconds

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
BUCKETS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)

_JOB: Final = ("namespace", "rayjob")

JOB_STATUS = state_set("ray_job_status", "State of the Ray job (status.jobStatus).", *_JOB, states=JOB_STATES)
JOB_DEPLOYMENT = state_set(
    "ray_job_deployment_status",
    "State of the RayJob resource (status.jobDeploymentStatus).",
    *_JOB,
    states=DEPLOYMENT_STATES,
)
JOB_REASON = info("ray_job_failure_reason_info", "Why the RayJob failed (status.reason).", *_JOB, "reason")
JOB_CREATED = gauge(
    "ray_job_created_timestamp_seconds",
    "When the RayJob was created (metadata.creationTimestamp).",
    *_JOB,
    unit=Unit.TIMESTAMP,
)
JOB_START = gauge("ray_job_start_timestamp_seconds", "When it started (status.startTime).", *_JOB, unit=Unit.TIMESTAMP)
JOB_END = gauge("ray_job_end_timestamp_seconds", "When it ended (status.endTime).", *_JOB, unit=Unit.TIMESTAMP)
JOB_RETRIES = gauge("ray_job_failed_attempts", "Attempts that failed so far (status.failed).", *_JOB)
JOB_BACKOFF = gauge("ray_job_backoff_limit", "Retries that are allowed (spec.backoffLimit).", *_JOB)
JOB_INFO = info("ray_job_info", "The RayJob's cluster and the role it works for.", *_JOB, "raycluster", "role")

JOBS = gauge("ray_jobs", "RayJobs by state of the resource (status.jobDeploymentStatus).", "namespace", "state")
DURATION = histogram(
    "ray_job_duration_seconds", "Time of finished attempts, each counted once (status.endTime - status.startTime).",
    "namespace", "outcome", unit=Unit.SECONDS,
)  # fmt: skip
UNKNOWN = counter("ray_job_unknown_states_total", "Values of a state field that this version does not know.", "field")

JOB_METRICS: Final = (
    JOB_STATUS, JOB_DEPLOYMENT, JOB_REASON, JOB_CREATED, JOB_START, JOB_END, JOB_RETRIES, JOB_BACKOFF, JOB_INFO
)  # fmt: skip
METRICS: Final[tuple[Metric, ...]] = (*JOB_METRICS, JOBS, DURATION, UNKNOWN)


@dataclass(frozen=True)
class Correlation:
    """Labels or annotations of a RayJob that say for whom it runs."""

    agent: str
    task: str
    role: str
    story: str


class JobRow(NamedTuple):
    """What is kept of one RayJob: the text of its samples, metric by metric, and what the rest is computed from."""

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


def job_texts(job: RayJob, correlation: Correlation) -> tuple[str, ...]:
    """The lines of one RayJob, one text for each of JOB_METRICS, empty where the metric does not apply."""
    meta, status = job.metadata, job.status
    who = labels(namespace=meta.namespace, rayjob=meta.name)
    reason = status.reason or ""
    created, started, ended = seconds(meta.creation), seconds(status.start_time), seconds(status.end_time)
    return (
        JOB_STATUS.state_at(who, known(status.job_status, JOB_STATES)).text,
        JOB_DEPLOYMENT.state_at(who, known(status.job_deployment_status, DEPLOYMENT_STATES)).text,
        JOB_REASON.at(who.with_label("reason", known(reason, REASONS)), 1).text if reason else "",
        JOB_CREATED.at(who, created).text if created is not None else "",
        JOB_START.at(who, started).text if started is not None else "",
        JOB_END.at(who, ended).text if ended is not None else "",
        JOB_RETRIES.at(who, status.failed or 0).text,
        JOB_BACKOFF.at(who, job.spec.backoff_limit).text if job.spec.backoff_limit is not None else "",
        JOB_INFO(
            1,
            namespace=meta.namespace,
            rayjob=meta.name,
            raycluster=status.ray_cluster_name or "",
            role=role_of(meta.named(correlation.role)) or "",
        ).text,
    )


@dataclass
class Durations:
    """The histogram of finished attempts. An attempt is a uid and a start time, and is counted once however often seen."""

    _by: dict[Key, Distribution] = field(default_factory=lambda: defaultdict(lambda: Distribution(BUCKETS)))
    _counted: dict[str, float] = field(default_factory=dict)
    """uid → start of the last attempt that was counted"""

    def see(self, job: RayJob) -> None:
        started, ended = seconds(job.status.start_time), seconds(job.status.end_time)
        uid = job.metadata.uid
        if started is None or ended is None or ended < started or self._counted.get(uid, -1.0) >= started:
            return
        self._counted[uid] = started
        key = (job.metadata.namespace, OUTCOMES.get(job.status.job_status or "", OTHER))
        self._by[key].observe(ended - started)

    def forget(self, uid: str) -> None:
        """The object is gone for good: its uid never comes back."""
        self._counted.pop(uid, None)

    def samples(self) -> Iterable[Sample]:
        for (namespace, outcome), distribution in self._by.items():
            yield distribution.sample(DURATION, labels(namespace=namespace, outcome=outcome))


class Jobs:
    """An ObjectStore of RayJobs; those of other shards are passed over."""

    def __init__(self, correlation: Correlation, shard: Shard = WHOLE) -> None:
        self._correlation = correlation
        self._shard = shard
        self._scopes: dict[str, dict[Key, JobRow]] = defaultdict(dict)
        self._durations = Durations()
        self._unknown = {"jobStatus": 0, "jobDeploymentStatus": 0, "reason": 0}

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, JobRow]:
        jobs = [ray_job(raw) for raw in objects]
        return dict(self._row(scope, job) for job in jobs if self._shard.owns(*key_of(job.metadata)))

    def replace(self, scope: str, rows: dict[Key, JobRow]) -> None:
        kept = {row.uid for row in rows.values()}
        for row in self._scopes[scope].values():
            if row.uid not in kept:
                self._durations.forget(row.uid)
        self._scopes[scope] = rows

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        job = ray_job(raw)
        if not self._shard.owns(*key_of(job.metadata)):
            return
        if kind == "DELETED":
            self._durations.see(job)  # its last state may be new to us
            self._scopes[scope].pop(key_of(job.metadata), None)
            self._durations.forget(job.metadata.uid)
        elif kind in ("ADDED", "MODIFIED"):
            key, row = self._row(scope, job)
            self._scopes[scope][key] = row

    def _row(self, scope: str, job: RayJob) -> tuple[Key, JobRow]:
        """What is kept of a job; what is counted about it is counted here."""
        self._durations.see(job)
        meta, names = job.metadata, self._correlation
        row = JobRow(
            texts=job_texts(job, names),
            uid=meta.uid,
            namespace=meta.namespace,
            state=known(job.status.job_deployment_status, DEPLOYMENT_STATES),
            status=known(job.status.job_status, JOB_STATES),
            started=seconds(job.status.start_time),
            ended=seconds(job.status.end_time),
            agent=meta.named(names.agent),
            task=meta.named(names.task),
            role=role_of(meta.named(names.role)) or "",
            story=meta.named(names.story),
        )
        key = key_of(meta)
        before = self._scopes[scope].get(key)
        if before is None or before.texts != row.texts:
            self._count_unknown(job)
        return key, row

    def view(self) -> Iterable[tuple[Key, JobRow]]:
        """Every job by its namespace and name."""
        return (item for scope in self._scopes.values() for item in scope.items())

    def _count_unknown(self, job: RayJob) -> None:
        status = job.status
        fields = (
            ("jobStatus", status.job_status, JOB_STATES),
            ("jobDeploymentStatus", status.job_deployment_status, DEPLOYMENT_STATES),
            ("reason", status.reason, REASONS),
        )
        for name, value, states in fields:
            if known(value, states) == OTHER:
                self._unknown[name] += 1

    def samples(self) -> Iterable[Sample]:
        rows = [row for scope in self._scopes.values() for row in scope.values()]
        for metric, texts in zip(JOB_METRICS, zip(*[row.texts for row in rows], strict=True), strict=bool(rows)):
            yield metric.lines("".join(texts))
        states: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(DEPLOYMENT_STATES, 0))
        for row in rows:
            states[row.namespace][row.state] += 1
        for namespace, counts in states.items():
            for state, count in counts.items():
                yield JOBS(count, namespace=namespace, state=state)
        yield from self._durations.samples()
        for name, count in self._unknown.items():
            yield UNKNOWN(count, field=name)
