"""States and outcomes of RayJobs and RayClusters, known and unknown, each counted once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.rayjob.clusters import RayClusters
from exporter.sources.rayjob.clusters import samples as cluster_samples
from exporter.sources.rayjob.jobs import NAMESPACE_SECONDS, Correlation, RayJobs, unknown_samples
from exporter.sources.rayjob.jobs import samples as job_samples
from exporter.sources.rayjob.objects import ray_cluster, ray_job
from tests.support.pages import Page, series


def shown(jobs: RayJobs) -> Page:
    """The page of a store of RayJobs."""
    samples = [*job_samples(list(jobs.rows_now().values())), *jobs.attempts.samples(), *unknown_samples(jobs.unknown_states)]
    return series(samples)


CORRELATION = Correlation("fleet/agent", "fleet/task", "fleet/role", "fleet/story")
KINDS = st.one_of(
    st.none(), st.text(), st.integers(), st.booleans(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
)


@given(
    st.dictionaries(st.sampled_from(["jobStatus", "jobDeploymentStatus", "reason", "startTime", "endTime", "failed"]), KINDS)
)
def test_any_status_is_read_without_an_error(status: dict[str, Any]) -> None:
    jobs = RayJobs(CORRELATION)
    raw = msgspec.Raw(msgspec.json.encode({"metadata": {"name": "x", "namespace": "n", "uid": "u"}, "status": status}))
    jobs.change("scope", "ADDED", raw)

    page = shown(jobs)
    assert sum(page[name] for name in page if name.startswith("ray_job_status")) == 1
    assert sum(page[name] for name in page if name.startswith("ray_job_deployment_status")) == 1


@given(st.dictionaries(st.sampled_from(["state", "desiredCPU", "desiredMemory", "conditions", "minWorkerReplicas"]), KINDS))
def test_any_cluster_is_read_without_an_error(status: dict[str, Any]) -> None:
    clusters = RayClusters()
    raw = msgspec.Raw(msgspec.json.encode({"metadata": {"name": "x", "namespace": "n"}, "status": status}))
    clusters.change("scope", "ADDED", raw)

    assert series(cluster_samples(clusters.rows_now()))


def workers(**status: Any) -> dict[str, float]:
    """Workers of a RayCluster with this status, by metric name."""
    clusters = RayClusters()
    raw = msgspec.Raw(msgspec.json.encode({"metadata": {"name": "x", "namespace": "n"}, "status": status}))
    clusters.change("scope", "ADDED", raw)
    page = series(cluster_samples(clusters.rows_now()))
    prefix = "ray_cluster_workers_"
    return {name.removeprefix(prefix).partition("{")[0]: page[name] for name in page if name.startswith(prefix)}


def test_worker_counts_that_kuberay_omits_are_zero() -> None:
    none = dict.fromkeys(("desired", "available", "ready", "min", "max"), 0)
    conditions = [{"type": "HeadPodReady", "status": "True"}]

    assert workers(desiredWorkerReplicas=2, maxWorkerReplicas=4) == none | {"desired": 2, "max": 4}
    unready = workers(desiredWorkerReplicas=2, availableWorkerReplicas=2, conditions=conditions)
    assert unready == none | {"desired": 2, "available": 2}


def test_worker_counts_are_absent_if_kuberay_does_not_report_them() -> None:
    assert workers() == workers(state="failed") == {}
    before_1_2 = workers(desiredWorkerReplicas=2, availableWorkerReplicas=2, desiredCPU="1")
    assert before_1_2 == {"desired": 2, "available": 2, "min": 0, "max": 0}


def test_unknown_states_become_other_and_are_counted_once() -> None:
    jobs = RayJobs(CORRELATION)
    job = {"metadata": {"name": "x", "namespace": "n", "uid": "u"}, "status": {"jobStatus": "DREAMING"}}
    for _ in range(3):
        jobs.change("scope", "MODIFIED", msgspec.Raw(msgspec.json.encode(job)))
    page = shown(jobs)

    assert page['ray_job_status{namespace="n",rayjob="x",state="other"}'] == 1
    assert page['ray_job_unknown_states_total{field="jobStatus"}'] == 1


def raw_job(uid: str = "u", **status: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"metadata": {"name": uid, "namespace": "n", "uid": uid}, "status": status}))


def counted(jobs: RayJobs, outcome: str) -> float:
    return shown(jobs)[f'ray_job_duration_seconds_count{{namespace="n",outcome="{outcome}"}}']


FINISHED = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:10Z"}


def test_jobs_that_finished_before_the_exporter_started_are_a_baseline() -> None:
    jobs = RayJobs(CORRELATION)
    before = [raw_job(str(number), jobStatus="SUCCEEDED", failed=2, **FINISHED) for number in range(20)]
    jobs.replace("scope", jobs.rows("scope", before))

    assert counted(jobs, "succeeded") == 0
    assert shown(jobs)['ray_job_attempt_failures_total{namespace="n"}'] == 0

    after = [*before[5:], raw_job("new", jobStatus="SUCCEEDED", **FINISHED)]  # a later list: watch expired, 5 deleted
    jobs.replace("scope", jobs.rows("scope", after))

    assert counted(jobs, "succeeded") == 1


def test_jobs_are_not_counted_again_after_the_crd_was_removed() -> None:
    jobs = RayJobs(CORRELATION)
    jobs.replace("scope", {})
    jobs.change("scope", "ADDED", raw_job(jobStatus="SUCCEEDED", **FINISHED))
    jobs.clear("scope")
    jobs.replace("scope", jobs.rows("scope", [raw_job(jobStatus="SUCCEEDED", **FINISHED)]))

    assert counted(jobs, "succeeded") == 1


@pytest.mark.parametrize(
    "reason", ["DeadlineExceeded", "PreRunningDeadlineExceeded", "SubmissionFailed", "JobStatusCheckTimeoutExceeded"]
)
@pytest.mark.parametrize("status", ["RUNNING", "", "PENDING"])
def test_a_job_failed_by_kuberay_is_failed(reason: str, status: str) -> None:
    jobs = RayJobs(CORRELATION)
    jobs.replace("scope", {})
    jobs.change("scope", "ADDED", raw_job(jobStatus=status, jobDeploymentStatus="Failed", reason=reason, **FINISHED))
    page = shown(jobs)

    assert counted(jobs, "failed") == 1
    assert page['ray_job_status{namespace="n",rayjob="u",state="FAILED"}'] == 1
    assert page['ray_job_status{namespace="n",rayjob="u",state="RUNNING"}'] == 0


def test_retried_attempts_are_counted_as_their_number_rises() -> None:
    jobs = RayJobs(CORRELATION)
    jobs.replace("scope", {})
    for failed in (0, 1, 1, 2):
        jobs.change("scope", "MODIFIED", raw_job(jobDeploymentStatus="Retrying", failed=failed))

    assert shown(jobs)['ray_job_attempt_failures_total{namespace="n"}'] == 2


def test_each_retry_is_a_separate_attempt() -> None:
    jobs = RayJobs(CORRELATION)
    jobs.replace("scope", {})
    for start, end in (("00:00:00", "00:00:10"), ("00:01:00", None), ("00:01:00", "00:01:20"), ("00:01:00", "00:01:20")):
        status = {"jobStatus": "FAILED", "startTime": f"2026-01-01T{start}Z"} | (
            {"endTime": f"2026-01-01T{end}Z"} if end else {}
        )
        job = {"metadata": {"name": "x", "namespace": "n", "uid": "u"}, "status": status}
        jobs.replace("scope", jobs.rows("scope", [msgspec.Raw(msgspec.json.encode(job))]))
    page = shown(jobs)

    assert page['ray_job_duration_seconds_count{namespace="n",outcome="failed"}'] == 2
    assert page['ray_job_duration_seconds_sum{namespace="n",outcome="failed"}'] == 30


def test_a_namespace_is_forgotten_hours_after_its_last_job() -> None:
    now = 0.0
    jobs = RayJobs(CORRELATION, clock=lambda: now)
    jobs.replace("scope", {})
    jobs.change("scope", "ADDED", raw_job(jobStatus="SUCCEEDED", **FINISHED))
    now += 2 * NAMESPACE_SECONDS
    assert counted(jobs, "succeeded") == 1  # its job exists
    jobs.change("scope", "DELETED", raw_job(jobStatus="SUCCEEDED", **FINISHED))
    now += NAMESPACE_SECONDS
    assert counted(jobs, "succeeded") == 1
    now += 1
    assert not any('namespace="n"' in name for name in shown(jobs))

    jobs.change("scope", "ADDED", raw_job("later", jobStatus="SUCCEEDED", **FINISHED))
    assert counted(jobs, "succeeded") == 1


def test_an_empty_object_is_read() -> None:
    assert ray_job(b"{}").metadata.name == ""
    assert ray_cluster(b'{"metadata": 3}').metadata.name == ""
