"""Workloads from pods on a real Kubernetes API server, and from unusual pods."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import Reason
from exporter.sources.workloads import Workloads, WorkloadsOptions
from exporter.sources.workloads.controllers import Replicas
from exporter.sources.workloads.pod import Workload, image_version, pod_of, row_of, workload_of
from exporter.sources.workloads.resources import used_of
from exporter.sources.workloads.samples import WorkloadsSnapshot, WorkloadStatus, samples, status_of
from exporter.sources.workloads.store import Pods
from servers.kubernetes import Kubernetes
from tests.support.pages import Page, followed, page_showing, raised_by, series

NAMES = itertools.count(1)
MERGE = "application/merge-patch+json"


@pytest.fixture
def namespace(kubernetes_server: Kubernetes) -> str:
    """A namespace of the test's own: without controllers a deleted one would stay."""
    name = f"workloads-{next(NAMES)}"
    kubernetes_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def pod(server: Kubernetes, namespace: str, name: str, status: dict[str, Any], **meta: Any) -> None:
    resources = {
        "requests": {"cpu": "250m", "memory": "64Mi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": "1", "memory": "128Mi", "nvidia.com/gpu": "1"},
    }
    container = {"name": "c", "image": "registry.example/fleet/planning:v1.2", "resources": resources}
    spec = {"containers": [container], "nodeName": "node-1"}
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert server.request("POST", path, {"metadata": {"name": name, **meta}, "spec": spec})[0] == 201
    set_status(server, namespace, name, status)


def set_status(server: Kubernetes, namespace: str, name: str, status: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
    assert server.request("PATCH", path, {"status": status}, content_type=MERGE)[0] == 200


def of_deployment(name: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-abc12", "uid": "u", "controller": True}
    return {"labels": {"pod-template-hash": "abc12"}, "ownerReferences": [owner]}


def running(*, ready: bool = True, restarts: int = 0, **state: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": restarts, **state}
    return {
        "phase": "Running",
        "startTime": "2026-02-06T10:00:00Z",
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [container],
    }


async def test_a_deployment_with_a_pod_in_trouble(kubernetes_server: Kubernetes, namespace: str) -> None:
    server = kubernetes_server
    who = f'namespace="{namespace}",kind="Deployment",workload="planning"'
    pod(server, namespace, "planning-1", running(), **of_deployment("planning"))
    crash = {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
    }
    pod(server, namespace, "planning-2", running(ready=False, restarts=3, **crash), **of_deployment("planning"))
    expected = (f"{namespace}/planning", f"{namespace}/context")
    source = Workloads(WorkloadsOptions(kubeconfig=server.kubeconfig, namespaces=(namespace,), expected=expected))
    async with followed(source):
        page = await page_showing(source, f'fleet_workload_status{{{who},state="degraded"}}', 1)
        assert page[f'fleet_workload_pods{{{who},phase="Running"}}'] == 2
        assert page[f"fleet_workload_ready_pods{{{who}}}"] == 1
        assert page[f"fleet_workload_restarts_total{{{who}}}"] == 0  # before the exporter started: a baseline
        assert page[f'fleet_workload_waiting_containers{{{who},reason="CrashLoopBackOff"}}'] == 1
        assert page[f'fleet_workload_terminated_containers{{{who},reason="OOMKilled"}}'] == 1
        assert page[f'fleet_workload_image_info{{{who},image="registry.example/fleet/planning",version="v1.2"}}'] == 1
        assert page[f"fleet_workload_cpu_requested_cores{{{who}}}"] == 0.5
        assert page[f"fleet_workload_memory_limit_bytes{{{who}}}"] == 2 * 128 * 2**20
        assert page[f"fleet_workload_gpus_requested{{{who}}}"] == 2
        assert page[f"fleet_workload_start_timestamp_seconds{{{who}}}"] == 1_770_372_000
        absent = f'fleet_expected_workload_status{{namespace="{namespace}",workload="context",state="absent"}}'
        assert page[absent] == 1

        set_status(server, namespace, "planning-1", running(ready=False, restarts=1))
        page = await page_showing(source, f'fleet_workload_status{{{who},state="down"}}', 1)
        assert page[f"fleet_workload_restarts_total{{{who}}}"] == 1
        for name in ("planning-1", "planning-2"):
            server.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0})
        page = await page_showing(
            source, f'fleet_expected_workload_status{{namespace="{namespace}",workload="planning",state="absent"}}', 1
        )
        assert not [name for name in page if 'workload="planning",phase' in name]


@pytest.mark.parametrize(
    ("phases", "status"),
    [
        (["Running", "Failed"], WorkloadStatus.UP),  # an evicted pod and its successor
        (["Failed", "Succeeded"], WorkloadStatus.UP),  # a Job that succeeded when it was tried again
        (["Failed"], WorkloadStatus.DOWN),
        (["Succeeded"], WorkloadStatus.UP),
        (["Running", "Pending"], WorkloadStatus.DEGRADED),
        (["Pending"], WorkloadStatus.DOWN),
    ],
)
def test_terminated_pods_count_only_without_other_pods(phases: list[str], status: WorkloadStatus) -> None:
    pods = [row_of(pod_of(msgspec.json.encode(shape(phase)))) for phase in phases]

    assert status_of(pods) is status


def shape(phase: str) -> dict[str, Any]:
    """A pod in a phase, ready where it runs."""
    conditions = [{"type": "Ready", "status": str(phase == "Running")}]
    return {"metadata": {"name": phase, "namespace": "n"}, "status": {"phase": phase, "conditions": conditions}}


async def test_pools_of_nodes_and_their_gpus(kubernetes_server: Kubernetes, namespace: str) -> None:
    server = kubernetes_server
    server.request("POST", "/api/v1/nodes", {"metadata": {"name": "node-1", "labels": {"pool": "gpu"}}})
    allocatable = {"status": {"allocatable": {"nvidia.com/gpu": "4", "cpu": "8"}, "capacity": {"nvidia.com/gpu": "4"}}}
    assert server.request("PATCH", "/api/v1/nodes/node-1/status", allocatable, content_type=MERGE)[0] == 200
    pod(server, namespace, "worker", running())
    source = Workloads(
        WorkloadsOptions(kubeconfig=server.kubeconfig, namespaces=(namespace,), nodes=True, pool_label="pool", usage=True)
    )
    async with followed(source):
        page = await page_showing(source, 'fleet_node_pool_gpus_allocatable{pool="gpu"}', 4)
        assert page['fleet_node_pool_gpus_requested{pool="gpu"}'] == 1
        assert not [name for name in page if "_used_" in name]  # there is no metrics API here


def _pod(name: str, restarts: int) -> msgspec.Raw:
    owner = {"kind": "StatefulSet", "name": "planning", "controller": True}
    status = {"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": restarts}]}
    meta = {"name": name, "namespace": "n", "uid": name, "ownerReferences": [owner]}
    return msgspec.Raw(msgspec.json.encode({"metadata": meta, "status": status}))


def page_of(pods: Pods) -> Page:
    return series(samples(WorkloadsSnapshot(pods.lines(), expected={}, pools={}, used={})))


def _restarts(pods: Pods) -> float:
    return page_of(pods)['fleet_workload_restarts_total{namespace="n",kind="StatefulSet",workload="planning"}']


def test_restarts_are_counted_from_the_exporters_start() -> None:
    """As Prometheus needs it for `increase()`: 42 restarts, one pod deleted and the exporter restarted are none."""
    before, after = Pods(), Pods()
    before.replace("scope", before.rows("scope", [_pod("planning-0", 30), _pod("planning-1", 12)]))
    after.replace("scope", after.rows("scope", [_pod("planning-1", 12)]))

    assert (_restarts(before), _restarts(after)) == (0, 0)

    before.change("scope", "MODIFIED", _pod("planning-1", 13))
    before.change("scope", "DELETED", _pod("planning-0", 30))
    before.change("scope", "ADDED", _pod("planning-2", 2))  # new: it has restarted since it was created
    before.replace("scope", before.rows("scope", [_pod("planning-1", 14), _pod("planning-2", 2)]))  # the watch expired

    assert _restarts(before) == 4


def test_restarts_are_kept_while_a_workload_has_no_pods() -> None:
    pods = Pods()
    workload = Workload("n", "StatefulSet", "planning")
    pods.set_replicas(workload, Replicas(desired=1, available=1))
    pods.replace("scope", pods.rows("scope", [_pod("planning-0", 0)]))
    pods.change("scope", "MODIFIED", _pod("planning-0", 3))
    pods.change("scope", "DELETED", _pod("planning-0", 3))
    assert _restarts(pods) == 3

    pods.change("scope", "ADDED", _pod("planning-0", 1))
    assert _restarts(pods) == 4

    pods.change("scope", "DELETED", _pod("planning-0", 1))
    pods.set_replicas(workload, None)  # deleted
    pods.set_replicas(workload, Replicas(desired=1, available=0))  # a new one with the same name
    assert _restarts(pods) == 0


async def test_an_account_that_may_not_list_pods_is_unauthorized(kubernetes_server: Kubernetes, tmp_path: Path) -> None:
    kubeconfig = kubernetes_server.write_kubeconfig("nobody", tmp_path / "kubeconfig")
    source = Workloads(WorkloadsOptions(kubeconfig=kubeconfig, timeout=3))
    async with followed(source):
        await source.wait_synced()
        first, second = await raised_by(source), await raised_by(source)
        assert first.reason is Reason.UNAUTHORIZED
        assert second is not first  # one that every scrape raises again keeps the frames of them all


@pytest.mark.parametrize(
    ("meta", "workload"),
    [
        ({}, ("Pod", "p")),
        (of_deployment("planning"), ("Deployment", "planning")),
        ({"ownerReferences": [{"kind": "ReplicaSet", "name": "r-1", "controller": True}]}, ("ReplicaSet", "r-1")),
        ({"ownerReferences": [{"kind": "RayCluster", "name": "ray-gpu", "controller": True}]}, ("RayCluster", "ray-gpu")),
        ({"ownerReferences": [{"kind": "Job", "name": "j", "controller": False}]}, ("Pod", "p")),
    ],
)
def test_the_workload_of_a_pod(meta: dict[str, Any], workload: tuple[str, str]) -> None:
    found = pod_of(json.dumps({"metadata": {"name": "p", "namespace": "n", **meta}}).encode())

    assert workload_of(found) == ("n", *workload)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("nats", ("nats", "latest")),
        ("nats:2.10-alpine", ("nats", "2.10-alpine")),
        ("registry:5000/fleet/context", ("registry:5000/fleet/context", "latest")),
        ("registry:5000/fleet/context:v1@sha256:" + "a" * 64, ("registry:5000/fleet/context", "v1")),
        ("fleet/context@sha256:" + "a" * 64, ("fleet/context", "sha256:aaaaaaaaaaaa")),
    ],
)
def test_versions_of_images(image: str, version: tuple[str, str]) -> None:
    assert image_version(image) == version


def test_usage_from_the_metrics_api() -> None:
    usage = {"usage": {"cpu": "250m", "memory": "64Mi"}}
    body = {"items": [{"metadata": {"name": "p", "namespace": "n"}, "containers": [usage, usage]}]}

    used = used_of(json.dumps(body).encode())
    assert used["n", "p"][:2] == (0.5, 2 * 64 * 2**20)
    store = Pods()
    store.change("", "ADDED", msgspec.Raw(b'{"metadata":{"name":"p","namespace":"n"}}'))
    page = series(samples(WorkloadsSnapshot((), {}, {}, store.used(used))))
    assert page['fleet_workload_cpu_used_cores{namespace="n",kind="Pod",workload="p"}'] == 0.5


ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
                   | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip
STATUS = st.dictionaries(
    st.sampled_from(["phase", "reason", "startTime", "conditions", "containerStatuses", "initContainerStatuses"]), ANY
)
SPEC = st.dictionaries(st.sampled_from(["containers", "nodeName"]), ANY)


@given(status=STATUS | st.none(), spec=SPEC | st.none())
def test_any_pod_is_read_without_an_error(status: Any, spec: Any) -> None:
    raw = json.dumps({"metadata": {"name": "p", "namespace": "n"}, "status": status, "spec": spec}).encode()
    store = Pods()
    store.change("", "ADDED", msgspec.Raw(raw))

    assert row_of(pod_of(raw)).workload.name == "p"
    assert page_of(store)['fleet_workload_ready_pods{namespace="n",kind="Pod",workload="p"}'] in (0, 1)
