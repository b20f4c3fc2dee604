"""The permissions of the chart's ServiceAccount on a real API server: sufficient for the exporter, and minimal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.kubernetes import Kubernetes
from servers.kubernetes_crds import KINDS
from servers.process import wait_for
from tests.deploy.helm.conftest import Helm
from tests.deploy.helm.releases import Release, namespace, release
from tests.support.process import exporter

RAY = "/apis/ray.io/v1/namespaces"
SLICES = "/apis/discovery.k8s.io/v1/namespaces"


@dataclass(frozen=True)
class Fleet:
    """A release that reads nodes, RayJobs and pods of `agents`, endpoints of `models`, and nothing in `other`."""

    release: Release
    token: str
    agents: str
    models: str
    other: str

    def status(self, method: str, path: str, body: Any = None) -> int:
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return self.release.server.request(method, path, body, token=self.token, content_type=content)[0]


def populate(server: Kubernetes, agents: str, models: str) -> None:
    """One of everything that is read."""
    for plural, kind in KINDS.items():
        body = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "train"}, "spec": {}}
        server.create(f"{RAY}/{agents}/{plural}", body)
    pod = {"metadata": {"name": "planner"}, "spec": {"containers": [{"name": "c", "image": "planner:1"}]}}
    server.create(f"/api/v1/namespaces/{agents}/pods", pod)
    server.create("/api/v1/nodes", {"metadata": {"name": "helm-node"}})
    endpoints = {
        "metadata": {"name": "vllm-1", "labels": {"kubernetes.io/service-name": "vllm"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8000}],
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
    }
    server.create(f"{SLICES}/{models}/endpointslices", endpoints)


@pytest.fixture(scope="module")
def fleet(kubernetes_server: Kubernetes, helm_command: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    server = kubernetes_server
    agents, models, other = (namespace(server, name) for name in ("agents", "models", "other"))
    populate(server, agents, models)
    config = {
        "rayjob": {"in_cluster": True, "namespaces": [agents]},
        "workloads": {"in_cluster": True, "namespaces": [agents], "nodes": True, "usage": True},
        "vllm": {"service": [f"{models}/vllm:http"], "timeout": 0.5},
    }
    with release(server, helm_command, tmp_path_factory.mktemp("release"), {"config": config}) as installed:
        found = Fleet(installed, installed.token(), agents, models, other)
        reads = [f"{RAY}/{agents}/rayjobs", "/api/v1/nodes", f"{SLICES}/{models}/endpointslices"]
        wait_for(lambda: all(found.status("GET", path) == 200 for path in reads), what="the roles to be known")
        yield found


def test_the_exporter_reads_with_the_charts_service_account(fleet: Fleet, tmp_path: Path) -> None:
    installed, server = fleet.release, fleet.release.server
    (container,) = installed.get("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--config.file=/etc/fleet-exporter/config.yaml", "--web.listen-address=:9847"]
    config = tmp_path / "config.yaml"
    config.write_text(installed.get("ConfigMap")["data"]["config.yaml"])
    # Outside a pod there are no files of its account: the same token comes by a kubeconfig.
    kubeconfig = server.write_kubeconfig(fleet.token, tmp_path / "kubeconfig")
    flags = [f"--{source}.kubeconfig={kubeconfig}" for source in ("rayjob", "workloads", "vllm")]
    page = ""

    with exporter(f"--config.file={config}", *flags) as running:

        def whole() -> bool:
            nonlocal page
            page = httpx.get(f"{running.url}/metrics", timeout=30).text
            return "ray_job_status{" in page and "fleet_workload_pods{" in page and "vllm_discovered_servers{" in page

        wait_for(whole, what="a page with every source")
        one = httpx.get(f"{running.url}/api/ray/jobs/{fleet.agents}/train", timeout=30)

    up = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in page.splitlines() if "source_up{" in line}
    assert up['fleet_exporter_source_up{source="rayjob",server=""}'] == "1"
    assert up['fleet_exporter_source_up{source="workloads",server=""}'] == "1"
    assert up[f'fleet_exporter_source_up{{source="vllm",server="service {fleet.models}/vllm:http"}}'] == "1"
    assert f'ray_job_status{{namespace="{fleet.agents}",rayjob="train",state="New"}} 1' in page
    assert f'ray_cluster_state{{namespace="{fleet.agents}",raycluster="train"' in page
    assert f'vllm_discovered_servers{{service="{fleet.models}/vllm:http"}} 1' in page
    assert 'workload="planner"' in page
    assert one.json()["name"] == "train"


def test_everything_else_is_forbidden(fleet: Fleet) -> None:
    agents, models, other, own = fleet.agents, fleet.models, fleet.other, fleet.release.namespace
    core = "/api/v1/namespaces"
    asked: list[tuple[str, str, Any]] = [
        *(("GET", f"{core}/{place}/{kind}", None) for place in (agents, models, other, own) for kind in (
            "secrets", "configmaps", "services", "events", "serviceaccounts", "persistentvolumeclaims",
        )),
        *(("GET", path, None) for path in (
            "/api/v1/pods", "/api/v1/secrets", "/api/v1/namespaces", *(f"/apis/ray.io/v1/{plural}" for plural in KINDS),
            "/apis/discovery.k8s.io/v1/endpointslices", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            f"{core}/{other}/pods", f"{core}/{models}/pods", f"{core}/{own}/pods", f"{core}/{agents}/pods/planner",
            f"{core}/{agents}/pods/planner/log", "/api/v1/nodes/helm-node", "/api/v1/nodes/helm-node/proxy/metrics",
            f"{RAY}/{other}/rayjobs", f"{RAY}/{models}/rayjobs", f"{RAY}/{agents}/rayclusters/train",
            f"{RAY}/{agents}/rayjobs/train/status", f"{SLICES}/{agents}/endpointslices",
            f"{SLICES}/{models}/endpointslices/vllm-1", "/apis/apps/v1/deployments", "/apis/metrics.k8s.io/v1beta1/pods",
        )),
        *((method, path, {}) for method in ("PUT", "PATCH", "DELETE") for path in (
            f"{RAY}/{agents}/rayjobs/train", f"{RAY}/{agents}/rayclusters/train", f"{core}/{agents}/pods/planner",
            f"{SLICES}/{models}/endpointslices/vllm-1", "/api/v1/nodes/helm-node",
        )),
        *(("POST", path, {}) for path in (
            *(f"{RAY}/{agents}/{plural}" for plural in KINDS), f"{core}/{agents}/pods", "/api/v1/nodes",
            f"{core}/{agents}/pods/planner/exec", f"{core}/{agents}/pods/planner/eviction", f"{core}/{own}/secrets",
            f"{core}/{own}/serviceaccounts/fleet-exporter/token", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        )),
        *(("DELETE", path, None) for path in (f"{RAY}/{agents}/rayjobs", f"{core}/{agents}/pods", "/api/v1/nodes")),
    ]  # fmt: skip

    assert [(method, path) for method, path, body in asked if fleet.status(method, path, body) != 403] == []


def test_the_server_lists_exactly_those_permissions(fleet: Fleet) -> None:
    """SelfSubjectRulesReview, without the permissions of every account."""

    def listed(place: str) -> set[tuple[str, str, str]]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": place}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        _, response = fleet.release.server.request("POST", path, body, token=fleet.token)
        assert not response["status"]["incomplete"]
        return {
            (verb, group, resource)
            for rule in response["status"]["resourceRules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            if group not in ("authorization.k8s.io", "authentication.k8s.io")
        }

    nodes = {("list", "", "nodes"), ("watch", "", "nodes")}
    assert listed(fleet.other) == listed(fleet.release.namespace) == nodes
    assert listed(fleet.models) == nodes | {(verb, "discovery.k8s.io", "endpointslices") for verb in ("list", "watch")}
    assert listed(fleet.agents) == nodes | {
        ("get", "ray.io", "rayjobs"),
        ("list", "metrics.k8s.io", "pods"),
        *((verb, "ray.io", kind) for verb in ("list", "watch") for kind in KINDS),
        *((verb, "", "pods") for verb in ("list", "watch")),
        *((verb, "apps", kind) for verb in ("list", "watch") for kind in ("deployments", "statefulsets", "daemonsets")),
    }


def test_without_a_kubernetes_source_the_account_has_no_permission(
    kubernetes_server: Kubernetes, helm_command: Helm, tmp_path: Path
) -> None:
    config = {"valkey": {"url": ["redis://valkey:6379"]}}
    with release(kubernetes_server, helm_command, tmp_path, {"config": config}) as installed:
        token = installed.token()
        paths = [
            "/api/v1/pods",
            "/apis/ray.io/v1/rayjobs",
            "/api/v1/nodes",
            f"/api/v1/namespaces/{installed.namespace}/pods",
        ]

        assert [kubernetes_server.request("GET", path, token=token)[0] for path in paths] == [403] * len(paths)


def test_without_namespaces_the_permissions_are_cluster_wide(
    kubernetes_server: Kubernetes, helm_command: Helm, tmp_path: Path
) -> None:
    server = kubernetes_server
    config = {"rayjob": {"in_cluster": True}, "workloads": {"in_cluster": True}}
    with release(server, helm_command, tmp_path, {"config": config}) as installed:
        token = installed.token()
        open_to_it = ["/api/v1/pods", *(f"/apis/ray.io/v1/{plural}" for plural in KINDS)]
        wait_for(
            lambda: all(server.request("GET", path, token=token)[0] == 200 for path in open_to_it),
            what="the role to be known",
        )
        closed = ["/api/v1/nodes", "/api/v1/secrets", "/apis/discovery.k8s.io/v1/endpointslices"]

        assert [server.request("GET", path, token=token)[0] for path in closed] == [403] * len(closed)
