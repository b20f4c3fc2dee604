"""Desired and available replicas on a real API server: status depends on the desired replicas, not only on existing pods."""

from __future__ import annotations

import itertools

import pytest

from exporter.sources.workloads import Workloads, WorkloadsOptions
from servers.kubernetes import Kubernetes
from tests.support.controllers import Apps
from tests.support.pages import Page, followed, page_showing, page_where

NAMES = itertools.count()


@pytest.fixture
def namespace(kubernetes_server: Kubernetes) -> str:
    """A namespace of the test's own."""
    name = f"replicas-{next(NAMES)}"
    kubernetes_server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def status_of(page: Page, namespace: str) -> list[str]:
    """The status of the expected workload."""
    labels = f'namespace="{namespace}",workload="planning"'
    names = [name for name, value in page.items() if name.startswith(f"fleet_expected_workload_status{{{labels}") and value]
    return [name.rpartition('state="')[2].removesuffix('"}') for name in names]


async def test_a_deployment_is_up_only_with_all_its_replicas(kubernetes_server: Kubernetes, namespace: str) -> None:
    apps = Apps(kubernetes_server, namespace)
    apps.create("deployments", "Deployment", replicas=3)
    apps.ready_pod()  # all pods that exist are ready
    apps.available("deployments", 1)
    who = f'namespace="{namespace}",kind="Deployment",workload="planning"'
    source = Workloads(
        WorkloadsOptions(
            kubeconfig=kubernetes_server.kubeconfig, namespaces=(namespace,), expected=(f"{namespace}/planning",)
        )
    )
    async with followed(source):
        page = await page_showing(source, f'fleet_workload_status{{{who},state="degraded"}}', 1)
        assert page[f"fleet_workload_desired_replicas{{{who}}}"] == 3
        assert page[f"fleet_workload_available_replicas{{{who}}}"] == 1
        assert status_of(page, namespace) == ["degraded"]

        apps.available("deployments", 3)
        page = await page_showing(source, f'fleet_workload_status{{{who},state="up"}}', 1)
        assert status_of(page, namespace) == ["up"]

        apps.available("deployments", 0)
        page = await page_showing(source, f'fleet_workload_status{{{who},state="down"}}', 1)
        assert status_of(page, namespace) == ["down"]

        apps.patch("deployments", spec={"replicas": 0})  # scaled to zero: all desired replicas are available
        page = await page_showing(source, f'fleet_workload_status{{{who},state="up"}}', 1)
        assert page[f"fleet_workload_desired_replicas{{{who}}}"] == 0

        apps.delete("deployments")
        page = await page_where(source, lambda page: f"fleet_workload_desired_replicas{{{who}}}" not in page)
        assert page[f"fleet_workload_ready_pods{{{who}}}"] == 1
        assert status_of(page, namespace) == ["up"]  # its pod is left


async def test_a_deployment_whose_pods_cannot_be_created_is_down(kubernetes_server: Kubernetes, namespace: str) -> None:
    Apps(kubernetes_server, namespace).create("deployments", "Deployment", replicas=2)
    who = f'namespace="{namespace}",kind="Deployment",workload="planning"'
    source = Workloads(WorkloadsOptions(kubeconfig=kubernetes_server.kubeconfig, namespaces=(namespace,)))
    async with followed(source):
        page = await page_showing(source, f'fleet_workload_status{{{who},state="down"}}', 1)
        assert page[f'fleet_workload_pods{{{who},phase="Running"}}'] == 0


async def test_statefulsets_and_daemonsets(kubernetes_server: Kubernetes, namespace: str) -> None:
    apps = Apps(kubernetes_server, namespace)
    apps.create("statefulsets", "StatefulSet", replicas=2, serviceName="planning")
    apps.available("statefulsets", 1)
    apps.create("daemonsets", "DaemonSet")
    scheduled = dict.fromkeys(("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable"), 4)
    apps.patch("daemonsets", "/status", status=scheduled | {"numberMisscheduled": 0})
    source = Workloads(
        WorkloadsOptions(
            kubeconfig=kubernetes_server.kubeconfig, namespaces=(namespace,), expected=(f"{namespace}/planning",)
        )
    )
    stateful, daemon = (
        f'namespace="{namespace}",kind="{kind}",workload="planning"' for kind in ("StatefulSet", "DaemonSet")
    )
    async with followed(source):
        page = await page_showing(source, f'fleet_workload_status{{{daemon},state="up"}}', 1)
        page = await page_showing(source, f'fleet_workload_status{{{stateful},state="degraded"}}', 1)
        assert page[f"fleet_workload_desired_replicas{{{stateful}}}"] == 2
        assert page[f"fleet_workload_available_replicas{{{daemon}}}"] == 4
        assert status_of(page, namespace) == ["degraded"]  # of two workloads with one name, the worse
        assert page['fleet_exporter_lookup_up{source="workloads",server="",lookup="daemonsets"}'] == 1
