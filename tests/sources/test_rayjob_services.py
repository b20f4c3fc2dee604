"""RayServices and RayCronJobs on a real Kubernetes API server, and an account that may not read them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.rayjob import Rayjob, RayjobOptions
from exporter.sources.rayjob.cron_jobs import RayCronJobs
from exporter.sources.rayjob.cron_jobs import samples as cron_job_samples
from exporter.sources.rayjob.services import RayServices
from exporter.sources.rayjob.services import samples as service_samples
from servers.kubernetes import Kubernetes
from tests.support.pages import Page, followed, page_where, series

NAMES = itertools.count(1)
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def namespace(kubernetes_server: Kubernetes) -> str:
    name = f"serve-{next(NAMES)}"
    kubernetes_server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def create(server: Kubernetes, namespace: str, kind: str, name: str, spec: Any, status: Any) -> None:
    path = f"/apis/ray.io/v1/namespaces/{namespace}/{kind.lower()}s"
    server.create(path, {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
    merge = "application/merge-patch+json"
    assert server.request("PATCH", f"{path}/{name}/status", {"status": status}, content_type=merge)[0] == 200


async def read(kubeconfig: Path, namespace: str, fits: Callable[[Page], bool]) -> Page:
    source = Rayjob(RayjobOptions(kubeconfig=kubeconfig, namespaces=(namespace,)))
    async with followed(source):
        return await page_where(source, fits)


async def test_a_service_and_its_applications(kubernetes_server: Kubernetes, namespace: str) -> None:
    status = {
        "serviceStatus": "Running",
        "numServeEndpoints": 2,
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "UpgradeInProgress", "status": "False"}],
        "activeServiceStatus": {
            "rayClusterName": "models-raycluster-x",
            "applicationStatuses": {"a": {"status": "RUNNING"}, "b": {"status": "UNHEALTHY"}, "c": {"status": "DREAMING"}},
        },
    }
    create(kubernetes_server, namespace, "RayService", "models", {}, status)
    who = f'namespace="{namespace}",rayservice="models"'
    page = await read(
        kubernetes_server.kubeconfig, namespace, lambda page: page.get(f"ray_service_serve_endpoints{{{who}}}") == 2
    )

    assert page[f'ray_service_status{{{who},state="Running"}}'] == 1
    assert page[f'ray_service_condition{{{who},condition="Ready"}}'] == 1
    assert page[f'ray_service_condition{{{who},condition="UpgradeInProgress"}}'] == 0
    assert page[f'ray_service_info{{{who},raycluster="models-raycluster-x"}}'] == 1
    found = {one: page[f'ray_service_applications{{{who},status="{one}"}}'] for one in ("RUNNING", "UNHEALTHY", "other")}
    assert found == {"RUNNING": 1, "UNHEALTHY": 1, "other": 1}
    assert page[f'ray_service_applications{{{who},status="DEPLOY_FAILED"}}'] == 0


async def test_a_cron_job_and_its_last_schedule(kubernetes_server: Kubernetes, namespace: str) -> None:
    scheduled = {"lastScheduleTime": "2026-01-01T00:00:00Z", "scheduleStatus": "scheduled"}
    create(kubernetes_server, namespace, "RayCronJob", "nightly", {"schedule": "0 2 * * *", "suspend": True}, scheduled)
    create(kubernetes_server, namespace, "RayCronJob", "wrong", {"schedule": "x"}, {"scheduleStatus": "validationFailed"})
    who, wrong = (f'namespace="{namespace}",raycronjob="{name}"' for name in ("nightly", "wrong"))
    page = await read(
        kubernetes_server.kubeconfig, namespace, lambda page: page.get(f"ray_cron_job_validation_failed{{{wrong}}}") == 1
    )

    assert page[f"ray_cron_job_last_schedule_timestamp_seconds{{{who}}}"] == 1767225600
    assert (page[f"ray_cron_job_suspended{{{who}}}"], page[f"ray_cron_job_suspended{{{wrong}}}"]) == (1, 0)
    assert page[f"ray_cron_job_validation_failed{{{who}}}"] == 0
    assert page[f'ray_cron_job_info{{{who},schedule="0 2 * * *"}}'] == 1
    assert f"ray_cron_job_last_schedule_timestamp_seconds{{{wrong}}}" not in page


async def test_an_account_without_permission_for_them_loses_only_their_metrics(
    kubernetes_server: Kubernetes, namespace: str, tmp_path: Path
) -> None:
    token = kubernetes_server.service_account_token("poor", namespace=namespace)
    rules = [{"apiGroups": ["ray.io"], "resources": ["rayjobs", "rayclusters"], "verbs": ["list", "watch"]}]
    kubernetes_server.create(f"{RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": "poor"}, "rules": rules})
    binding = {
        "metadata": {"name": "poor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "poor"},
        "subjects": [{"kind": "ServiceAccount", "name": "poor", "namespace": namespace}],
    }
    kubernetes_server.create(f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
    create(kubernetes_server, namespace, "RayService", "models", {}, {"serviceStatus": "Running"})
    create(kubernetes_server, namespace, "RayJob", "train", {}, {"jobStatus": "RUNNING"})
    kubeconfig = kubernetes_server.write_kubeconfig(token, tmp_path / "kubeconfig")
    lookup = 'fleet_exporter_lookup_up{source="rayjob",server="",lookup="%s"}'

    page = await read(kubeconfig, namespace, lambda page: page.get(lookup % "rayservices") == 0)

    assert page[lookup % "raycronjobs"] == 0
    assert page[f'ray_job_status{{namespace="{namespace}",rayjob="train",state="RUNNING"}}'] == 1
    assert not any(name.startswith("ray_service") for name in page)


VALUES = st.one_of(
    st.none(), st.text(), st.integers(), st.booleans(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
)
STATUS_FIELDS = ("serviceStatus", "numServeEndpoints", "activeServiceStatus", "conditions", "lastScheduleTime")


@given(status=st.dictionaries(st.sampled_from(STATUS_FIELDS), VALUES), schedule=VALUES)
def test_any_object_is_read_without_an_error(status: dict[str, Any], schedule: Any) -> None:
    raw = msgspec.Raw(
        msgspec.json.encode({"metadata": {"name": "x", "namespace": "n"}, "spec": {"schedule": schedule}, "status": status})
    )
    services, cron_jobs = RayServices(), RayCronJobs()
    services.change("scope", "ADDED", raw)
    cron_jobs.change("scope", "ADDED", raw)

    assert series([*service_samples(services.rows_now()), *cron_job_samples(cron_jobs.rows_now())])
