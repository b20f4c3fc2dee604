"""Deployments of a real API server that are rolled, scaled and new: no alert that a person would get."""

from __future__ import annotations

import itertools
import time
from collections.abc import ItemsView, Sequence
from functools import partial
from pathlib import Path

import pytest

from exporter.sources.workloads import Workloads, WorkloadsOptions
from servers.kubernetes import Kubernetes
from tests.alerts.quiet import aged, at, firing, steps
from tests.support.controllers import Apps
from tests.support.pages import Page, followed, page_where

NAMES = itertools.count()
Phase = tuple[float, int, int]
"""Minutes, desired replicas, available replicas."""


@pytest.fixture
def namespace(kubernetes_server: Kubernetes) -> str:
    """A namespace of the test's own."""
    name = f"quiet-{next(NAMES)}"
    kubernetes_server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def _has(shown: ItemsView[str, float], page: Page) -> bool:
    return shown <= page.items()


async def pages(server: Kubernetes, namespace: str, phases: Sequence[Phase]) -> list[Page]:
    """The exporter's pages of an expected Deployment in these phases, one after the other."""
    apps = Apps(server, namespace)
    apps.create("deployments", "Deployment", replicas=phases[0][1])
    options = WorkloadsOptions(kubeconfig=server.kubeconfig, namespaces=(namespace,), expected=(f"{namespace}/planning",))
    who = f'namespace="{namespace}",kind="Deployment",workload="planning"'
    found: list[Page] = []
    source = Workloads(options)
    async with followed(source):
        for minutes, desired, available in phases:
            apps.patch("deployments", spec={"replicas": desired})
            apps.available("deployments", available)
            counts = {"desired": float(desired), "available": float(available)}
            shown = {f"fleet_workload_{name}_replicas{{{who}}}": count for name, count in counts.items()}.items()
            page = await page_where(source, partial(_has, shown))
            collected = time.time()
            found += [aged(page, collected, at(len(found) + step)) for step in range(steps(minutes))]
    return found


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param([(30, 3, 3), (3, 3, 2), (1, 3, 3), (3, 3, 2), (1, 3, 3), (3, 3, 2), (30, 3, 3)], id="rollout"),
        pytest.param([(30, 1, 1), (4, 1, 0), (30, 1, 1)], id="rollout of a single pod, recreated"),
        pytest.param([(30, 3, 3), (1, 0, 3), (90, 0, 0), (5, 3, 0), (5, 3, 2), (30, 3, 3)], id="to zero and back"),
        pytest.param([(5, 2, 0), (5, 2, 1), (30, 2, 2)], id="new deployment"),
        pytest.param([(30, 2, 2), (10, 6, 3), (30, 6, 6), (30, 2, 2)], id="autoscaler"),
    ],
)
async def test_a_deployment_that_is_changed(
    kubernetes_server: Kubernetes, namespace: str, promtool: Path, tmp_path: Path, phases: Sequence[Phase]
) -> None:
    assert firing(promtool, tmp_path, {"a": await pages(kubernetes_server, namespace, phases)}) == set()


async def test_a_rollout_that_is_stuck_and_a_deployment_that_is_down_are_still_reported(
    kubernetes_server: Kubernetes, namespace: str, promtool: Path, tmp_path: Path
) -> None:
    stuck = await pages(kubernetes_server, namespace, [(10, 3, 3), (25, 3, 2), (10, 3, 0)])

    assert firing(promtool, tmp_path, {"a": stuck}) == {"WorkloadNotReady", "WorkloadDown"}
