"""Requested resources, termination reasons and CronJobs, from pods as the API server returns them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.workloads.pod import PodRow, pod_of, row_of, workload_of
from exporter.sources.workloads.resources import GPU_RESOURCES, Resources, gpus_of, node_of, of_pod
from exporter.sources.workloads.samples import WorkloadsSnapshot, WorkloadStatus, samples, status_of
from exporter.sources.workloads.store import Pods
from tests.support.pages import Page, series

MIB = 2**20


def row(*, meta: dict[str, Any] | None = None, **parts: Any) -> PodRow:
    return row_of(pod_of(msgspec.json.encode({"metadata": {"name": "p", "namespace": "n", **(meta or {})}, **parts})))


def page_of(*pods: dict[str, Any]) -> Page:
    """The page of pods without a controller, all of workload `p`."""
    store = Pods()
    for number, parts in enumerate(pods):
        owner = {"kind": "StatefulSet", "name": "p", "controller": True}
        meta = {"name": f"p-{number}", "namespace": "n", "uid": str(number), "ownerReferences": [owner]}
        store.change("", "ADDED", msgspec.Raw(msgspec.json.encode({"metadata": meta, **parts})))
    return series(samples(WorkloadsSnapshot(store.lines(), expected={}, pools={}, used={})))


WHO = 'namespace="n",kind="StatefulSet",workload="p"'


def container(cpu: str = "0", memory: str = "0", **more: Any) -> dict[str, Any]:
    given = {"cpu": cpu, "memory": memory}
    return {"name": "c", "image": "i", "resources": {"requests": given, "limits": given}, **more}


def terminated(reason: str) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": 1}}


def test_two_containers_of_one_pod_killed_for_memory_are_two() -> None:
    killed = {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": terminated("OOMKilled")}
    page = page_of({"status": {"phase": "Running", "containerStatuses": [killed, killed]}})

    assert page[f'fleet_workload_terminated_containers{{{WHO},reason="OOMKilled"}}'] == 2


def test_a_container_that_ended_twice_for_one_reason_is_one() -> None:
    killed = {"name": "c", "state": terminated("Error"), "lastState": terminated("Error")}
    page = page_of({"status": {"phase": "Running", "containerStatuses": [killed]}})

    assert page[f'fleet_workload_terminated_containers{{{WHO},reason="Error"}}'] == 1


def test_an_init_container_killed_for_memory_is_shown_and_one_that_completed_is_not() -> None:
    loop = {"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": terminated("OOMKilled")}
    done = {"name": "j", "state": terminated("Completed")}
    page = page_of({"status": {"phase": "Pending", "initContainerStatuses": [loop, done]}})

    assert page[f'fleet_workload_terminated_containers{{{WHO},reason="OOMKilled"}}'] == 1
    assert not [name for name in page if "Completed" in name]


def test_an_evicted_pod_is_a_failed_pod_and_no_container() -> None:
    page = page_of({"status": {"phase": "Failed", "reason": "Evicted"}})

    assert page[f'fleet_workload_failed_pods{{{WHO},reason="Evicted"}}'] == 1
    assert not [name for name in page if name.startswith("fleet_workload_terminated_containers")]


def test_sidecars_count_in_addition_to_the_containers() -> None:
    spec = {
        "containers": [container("500m", "100Mi")],
        "initContainers": [container("250m", "50Mi", restartPolicy="Always")],
    }
    assert row(spec=spec).requested == (0.75, 150 * MIB, 0)


def test_an_init_container_counts_if_it_needs_more_than_all_that_runs_after_it() -> None:
    spec = {
        "containers": [container("500m", "100Mi")],
        "initContainers": [
            container("250m", "50Mi", restartPolicy="Always"),
            container("2", "10Mi"),  # next to the sidecar that started before it
        ],
    }
    assert row(spec=spec).requested == (2.25, 150 * MIB, 0)


def test_the_resources_of_the_pod_itself_take_precedence() -> None:
    spec = {"containers": [container("100m", "1Mi")], "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}}
    found = row(spec=spec)

    assert found.requested == (2.0, 1 * MIB, 0)
    assert found.limited == (0.1, 1024 * MIB, 0)


def test_the_runtimes_overhead_is_added() -> None:
    spec = {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}],
        "overhead": {"cpu": "250m", "memory": "120Mi"},
    }
    found = row(spec=spec)

    assert found.requested == (1.25, 120 * MIB, 0)
    assert found.limited == (0, 0, 0)  # without a limit there is nothing to add to


def test_pods_that_have_ended_reserve_nothing() -> None:
    gpu = {"name": "c", "image": "i", "resources": {"requests": {"nvidia.com/gpu": "2", "cpu": "1"}}}
    page = page_of(
        {"spec": {"containers": [gpu], "nodeName": "a"}, "status": {"phase": "Succeeded"}},
        {"spec": {"containers": [gpu], "nodeName": "a"}, "status": {"phase": "Running"}},
    )
    assert page[f"fleet_workload_gpus_requested{{{WHO}}}"] == 2
    assert page[f"fleet_workload_cpu_requested_cores{{{WHO}}}"] == 1


@pytest.mark.parametrize(
    ("resource", "number"),
    [
        ("nvidia.com/gpu", 2),
        ("amd.com/gpu", 2),
        ("gpu.intel.com/i915", 2),
        ("nvidia.com/mig-1g.10gb", 2),
        ("nvidia.com/gpu.shared", 2),
        ("nvidia.com/gpumem", 0),
        ("gpu.intel.com/memory.max", 0),
        ("gpu", 0),
    ],
)
def test_gpus_of_any_vendor(resource: str, number: int) -> None:
    assert gpus_of({resource: "2", "cpu": "8"}, GPU_RESOURCES) == number
    node = msgspec.json.encode({"metadata": {"name": "a"}, "status": {"allocatable": {resource: "2"}}})
    assert node_of(node, "pool").gpus == number


def test_other_accelerators_are_gpus_if_configured() -> None:
    assert gpus_of({"habana.ai/gaudi": "8", "nvidia.com/gpu": "1"}, ("habana.ai/*",)) == 8


CREATED = "2026-02-06T10:00:30Z"
SCHEDULED = 1_770_372_000 // 60


@pytest.mark.parametrize(
    ("job", "workload"),
    [
        (f"nightly-{SCHEDULED}", ("CronJob", "nightly")),
        (f"nightly-{SCHEDULED - 60}", ("CronJob", "nightly")),  # retried for an hour
        ("nightly-20260206", ("Job", "nightly-20260206")),  # a date is no time of a schedule
        (f"nightly-{SCHEDULED + 60}", ("Job", f"nightly-{SCHEDULED + 60}")),  # the future neither
        ("nightly-manual", ("Job", "nightly-manual")),
    ],
)
def test_the_jobs_of_a_cron_job_are_one_workload(job: str, workload: tuple[str, str]) -> None:
    owner = {"kind": "Job", "name": job, "controller": True}
    meta = {"name": "p", "namespace": "n", "creationTimestamp": CREATED, "ownerReferences": [owner]}

    assert workload_of(pod_of(msgspec.json.encode({"metadata": meta}))) == ("n", *workload)


def test_the_last_run_of_a_cron_job_is_its_status() -> None:
    def run_of(phase: str, started: str) -> PodRow:
        return row(status={"phase": phase, "startTime": started})

    failed, succeeded = run_of("Failed", "2026-02-06T10:00:00Z"), run_of("Succeeded", "2026-02-05T10:00:00Z")

    assert status_of([failed, succeeded], "CronJob") is WorkloadStatus.DOWN
    assert status_of([run_of("Failed", "2026-02-04T10:00:00Z"), succeeded], "CronJob") is WorkloadStatus.UP


AMOUNTS = st.builds(Resources, *[st.integers(0, 1000).map(float)] * 3)


@given(containers=st.lists(AMOUNTS, max_size=4), init=st.lists(st.tuples(AMOUNTS, st.booleans()), max_size=4))
def test_a_pod_reserves_at_least_what_runs_at_any_moment(
    containers: list[Resources], init: list[tuple[Resources, bool]]
) -> None:
    total = of_pod(containers, init, None)
    sidecars = [one for one, is_sidecar in init if is_sidecar]
    moments = [[*containers, *sidecars]]
    for index, (one, _) in enumerate(init):
        moments.append([one, *(before for before, is_sidecar in init[:index] if is_sidecar)])

    expected = [max(sum(one[resource] for one in moment) for moment in moments) for resource in range(3)]
    assert list(total) == expected
