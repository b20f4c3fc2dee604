"""RayJobs and RayClusters on a real Kubernetes API server: states, changes, deletions, and changes of CRDs."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.rayjob import Rayjob, RayjobOptions
from servers import kubernetes as kubernetes_servers
from servers.kubernetes import Kubernetes
from tests.support.pages import Page, followed, page_where, samples_of

NAMES = itertools.count(1)
JOBS = "/apis/ray.io/v1/namespaces/{}/rayjobs"
CLUSTERS = "/apis/ray.io/v1/namespaces/{}/rayclusters"
MERGE = "application/merge-patch+json"


@pytest.fixture
def namespace(kubernetes_server: Kubernetes) -> str:
    """A namespace of the test's own: without controllers a deleted one would stay."""
    name = f"fleet-{next(NAMES)}"
    kubernetes_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def create(server: Kubernetes, kind: str, namespace: str, name: str, status: dict[str, Any] | None, **meta: Any) -> None:
    path = (JOBS if kind == "RayJob" else CLUSTERS).format(namespace)
    body = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": name, **meta}, "spec": {"backoffLimit": 2}}
    assert server.request("POST", path, body)[0] == 201
    if status is not None:
        patch(server, f"{path}/{name}", status)


def patch(server: Kubernetes, path: str, status: dict[str, Any]) -> None:
    assert server.request("PATCH", f"{path}/status", {"status": status}, content_type=MERGE)[0] == 200


@asynccontextmanager
async def following(source: Rayjob) -> AsyncIterator[Callable[[Callable[[Page], bool]], Any]]:
    """Follow the source; gives a function that waits until its page fits and returns it."""
    async with followed(source):
        yield functools.partial(page_where, source)


async def test_a_job_from_creation_to_deletion(kubernetes_server: Kubernetes, namespace: str) -> None:
    server, path = kubernetes_server, f"{JOBS.format(namespace)}/train"
    who = f'namespace="{namespace}",rayjob="train"'
    source = Rayjob(RayjobOptions(kubeconfig=server.kubeconfig, namespaces=(namespace,)))
    async with following(source) as page_where:
        page = await page_where(lambda page: page['ray_crd_available{kind="RayJob"}'] == 1)
        assert not any(name.startswith("ray_job_status") for name in page)

        create(server, "RayJob", namespace, "train", None, labels={"fleet/role": "DEV"})
        page = await page_where(lambda page: f'ray_job_status{{{who},state="New"}}' in page)
        assert page[f'ray_job_status{{{who},state="New"}}'] == 1
        assert page[f'ray_job_deployment_status{{{who},state="New"}}'] == 1
        assert page[f'ray_job_info{{{who},raycluster="",agent="",role="DEV"}}'] == 1
        assert page[f"ray_job_backoff_limit{{{who}}}"] == 2

        times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:01:30Z"}
        failed = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": "AppFailed", "failed": 1, **times}
        patch(server, path, failed)
        page = await page_where(lambda page: page[f'ray_job_status{{{who},state="FAILED"}}'] == 1)
        assert page[f'ray_job_status{{{who},state="New"}}'] == 0
        assert page[f'ray_job_failure_reason_info{{{who},reason="AppFailed"}}'] == 1
        assert page[f"ray_job_end_timestamp_seconds{{{who}}}"] == 1767225690
        assert page[f"ray_job_failed_attempts{{{who}}}"] == 1
        assert page[f'ray_jobs{{namespace="{namespace}",state="Failed"}}'] == 1
        durations = f'ray_job_duration_seconds_sum{{namespace="{namespace}",outcome="failed"}}'
        assert page[durations] == 90

        patch(server, path, {"message": "seen again"})
        server.request("DELETE", path)
        page = await page_where(lambda page: f'ray_job_status{{{who},state="New"}}' not in page)
        assert page.get(durations) == 90, page  # the same attempt, counted once


async def test_a_cluster_and_its_workers(kubernetes_server: Kubernetes, namespace: str) -> None:
    who = f'namespace="{namespace}",raycluster="gpu"'
    status = {
        "state": "ready",
        "desiredWorkerReplicas": 2,
        "availableWorkerReplicas": 1,
        "maxWorkerReplicas": 4,
        "desiredCPU": "3500m",
        "desiredMemory": "16Gi",
        "desiredGPU": "2",
        "conditions": [{"type": "HeadPodReady", "status": "True"}, {"type": "Strange", "status": "True"}],
    }
    create(kubernetes_server, "RayCluster", namespace, "gpu", status)
    source = Rayjob(RayjobOptions(kubeconfig=kubernetes_server.kubeconfig, namespaces=(namespace,)))
    async with following(source) as page_where:
        page = await page_where(lambda page: f"ray_cluster_workers_desired{{{who}}}" in page)

    assert page[f'ray_cluster_state{{{who},state="ready"}}'] == 1
    assert page[f"ray_cluster_workers_available{{{who}}}"] == 1
    assert page[f"ray_cluster_desired_cpu_cores{{{who}}}"] == 3.5
    assert page[f"ray_cluster_desired_memory_bytes{{{who}}}"] == 16 * 1024**3
    assert page[f'ray_cluster_condition{{{who},condition="HeadPodReady"}}'] == 1
    assert page[f"ray_cluster_workers_max{{{who}}}"] == 4
    assert page[f"ray_cluster_workers_min{{{who}}}"] == page[f"ray_cluster_workers_ready{{{who}}}"] == 0  # KubeRay omits 0
    assert not any("Strange" in name for name in page)


async def test_more_jobs_than_a_page_of_the_list(kubernetes_server: Kubernetes, namespace: str) -> None:
    for number in range(520):
        create(kubernetes_server, "RayJob", namespace, f"job-{number}", None)
    source = Rayjob(RayjobOptions(kubeconfig=kubernetes_server.kubeconfig, namespaces=(namespace,)))
    async with following(source) as page_where:
        page = await page_where(lambda page: len(page) > 1000)

    assert sum(name.startswith("ray_job_created") for name in page) == 520


@pytest.mark.parametrize("token", ["nobody", "unknown"])
async def test_an_account_without_permission_is_unauthorized(
    kubernetes_server: Kubernetes, tmp_path: Path, token: str
) -> None:
    kubeconfig = kubernetes_server.write_kubeconfig(token, tmp_path / "kubeconfig")

    async def read() -> None:
        source = Rayjob(RayjobOptions(kubeconfig=kubeconfig))
        async with following(source):
            await source.wait_synced()
            await samples_of(source)

    with pytest.raises(SourceError) as caught:
        await read()

    assert caught.value.reason is Reason.UNAUTHORIZED


async def test_a_missing_kubeconfig_is_reported_in_one_sentence(tmp_path: Path) -> None:
    async def read() -> None:
        source = Rayjob(RayjobOptions(kubeconfig=tmp_path / "absent"))
        async with following(source):
            await source.wait_synced()
            await samples_of(source)

    with pytest.raises(SourceError, match=r"Kubernetes credentials from .*absent.*: .*No such file"):
        await read()


async def test_crds_are_added_and_removed_and_the_api_server_restarts() -> None:

    with kubernetes_servers.start() as server:
        served = 'ray_crd_available{kind="RayJob"}'
        async with following(Rayjob(RayjobOptions(kubeconfig=server.kubeconfig))) as page_where:
            await page_where(lambda page: page[served] == 0)
            await asyncio.to_thread(server.apply_ray_crds)
            create(server, "RayJob", "default", "first", None)
            await page_where(lambda page: 'ray_job_failed_attempts{namespace="default",rayjob="first"}' in page)

            await asyncio.to_thread(server.stop_api)
            source = Rayjob(RayjobOptions(kubeconfig=server.kubeconfig))
            async with following(source):
                await source.wait_synced()
                with pytest.raises(SourceError) as caught:
                    await samples_of(source)
            assert caught.value.reason is Reason.UNREACHABLE
            await asyncio.to_thread(server.start_api)
            create(server, "RayJob", "default", "second", None)
            page = await page_where(lambda page: 'ray_job_failed_attempts{namespace="default",rayjob="second"}' in page)
            assert 'ray_job_failed_attempts{namespace="default",rayjob="first"}' in page

            await asyncio.to_thread(server.delete_ray_crds)
            page = await page_where(lambda page: page[served] == 0)
            assert not any(name.startswith("ray_job_failed_attempts") for name in page)


async def test_kuberay_that_serves_only_v1alpha1_is_read() -> None:

    with kubernetes_servers.start() as server:
        async with following(Rayjob(RayjobOptions(kubeconfig=server.kubeconfig, timeout=5))) as page_where:
            await page_where(lambda page: page['ray_crd_available{kind="RayJob"}'] == 0)
            await asyncio.to_thread(server.apply_ray_crds, "v1alpha1")
            body = {"apiVersion": "ray.io/v1alpha1", "kind": "RayJob", "metadata": {"name": "old"}, "spec": {}}
            server.create("/apis/ray.io/v1alpha1/namespaces/default/rayjobs", body)
            page = await page_where(lambda page: 'ray_job_failed_attempts{namespace="default",rayjob="old"}' in page)
            assert page['ray_crd_available{kind="RayJob"}'] == 1

            await asyncio.to_thread(server.delete_ray_crds)
            page = await page_where(lambda page: page['ray_crd_available{kind="RayJob"}'] == 0)
            assert not any(name.startswith("ray_job_failed_attempts") for name in page)
