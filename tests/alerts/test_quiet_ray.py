"""Healthy but unusual RayJobs and RayClusters: no warning and no critical alert."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from exporter.sources.rayjob import clusters, jobs
from exporter.sources.rayjob.clusters import RayClusters
from exporter.sources.rayjob.jobs import Correlation, RayJobs
from tests.alerts.quiet import at, firing, steps
from tests.support.pages import Page, series

NAMES = Correlation("fleet/agent", "fleet/task", "fleet/role", "fleet/story")
Phases = list[tuple[float, dict[str, Any]]]
"""(minutes, status) one after the other."""


def iso(minutes: float) -> str:
    return datetime.fromtimestamp(at(0) + minutes * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def raw(minute: float, **status: Any) -> msgspec.Raw:
    meta = {"name": "x", "namespace": "n", "uid": "u", "creationTimestamp": iso(minute)}
    return msgspec.Raw(msgspec.json.encode({"metadata": meta, "spec": {"backoffLimit": 3}, "status": status}))


def job_pages(phases: Phases) -> list[Page]:
    """The exporter's pages about one RayJob that is created at the beginning."""
    store = RayJobs(NAMES)
    store.replace("scope", {})
    pages = []
    for minutes, status in phases:
        store.change("scope", "MODIFIED", raw(0, **status))
        page = series([*jobs.samples(list(store.rows_now().values())), *store.attempts.samples()])
        pages += [page] * steps(minutes)
    return pages


def cluster_pages(phases: Phases) -> list[Page]:
    store = RayClusters()
    pages = []
    for minutes, status in phases:
        store.change("scope", "MODIFIED", raw(0, **status))
        pages += [series(clusters.samples(store.rows_now()))] * steps(minutes)
    return pages


def deployed(state: str, **more: Any) -> dict[str, Any]:
    return {"jobDeploymentStatus": state, **more}


def test_a_rayjob_that_waits_for_quota_retries_and_succeeds(promtool: Path, tmp_path: Path) -> None:
    running = {"jobStatus": "RUNNING", "startTime": iso(131)}
    ended = {"jobStatus": "FAILED", "reason": "AppFailed", "startTime": iso(131), "endTime": iso(156), "failed": 1}
    retried = {"jobStatus": "RUNNING", "startTime": iso(160), "failed": 1}
    pages = job_pages(
        [
            (1, {}),
            (120, deployed("Suspended")),  # a queue such as Kueue admits it later
            (10, deployed("Initializing")),  # pulls its image
            (25, deployed("Running", **running)),
            (1, deployed("Retrying", **ended)),
            (4, deployed("Initializing", failed=1)),
            (30, deployed("Running", **retried)),
            (30, deployed("Complete", **retried | {"jobStatus": "SUCCEEDED", "endTime": iso(190), "succeeded": 1})),
        ]
    )

    assert firing(promtool, tmp_path, {"a": pages}) == set()


def test_a_rayjob_that_never_starts_is_still_reported(promtool: Path, tmp_path: Path) -> None:
    pages = job_pages([(5, deployed("Suspended")), (60, deployed("Initializing"))])

    assert firing(promtool, tmp_path, {"a": pages}) == {"RayJobPending"}


def test_a_cluster_that_scales_to_zero_and_back(promtool: Path, tmp_path: Path) -> None:
    def workers(desired: int, ready: int) -> dict[str, Any]:
        counts = {"desiredWorkerReplicas": desired, "readyWorkerReplicas": ready}
        return {"state": "ready", "maxWorkerReplicas": 4} | {name: count for name, count in counts.items() if count}

    nightly = [(20, workers(0, 0)), (12, workers(4, 0)), (3, workers(4, 2)), (30, workers(4, 4)), (1, workers(0, 4))]
    pages = cluster_pages([*nightly, *nightly, (20, workers(0, 0))])

    assert firing(promtool, tmp_path, {"a": pages}) == set()


def test_a_cluster_without_a_ready_worker_is_reported(promtool: Path, tmp_path: Path) -> None:
    pages = cluster_pages([(60, {"desiredWorkerReplicas": 2, "maxWorkerReplicas": 2})])  # KubeRay omits 0 ready

    assert firing(promtool, tmp_path, {"a": pages}) == {"RayClusterWorkersBelowDesired"}
