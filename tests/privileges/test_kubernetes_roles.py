"""The documented role of each source, alone, for a ServiceAccount's token on a real API server with RBAC."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import SourceError
from exporter.source import Source
from exporter.sources.rayjob import Rayjob, RayjobOptions
from exporter.sources.vllm import Vllm, VllmOptions
from exporter.sources.workloads import Workloads, WorkloadsOptions
from servers.kubernetes import Kubernetes
from servers.process import wait_for
from tests.privileges.documented import blocks, manifests
from tests.privileges.event_streams import following, is_denied
from tests.support.pages import eventually, samples_of, series

NAMESPACE = "fleet"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
USAGE = ("metrics.k8s.io", "pods", "list")
OPTIONAL_KINDS = ("rayservices", "raycronjobs", "deployments", "statefulsets", "daemonsets", "nodes")
ONE_JOB = ("ray.io", "rayjobs", "get")
ROLES = [name for name in blocks() if name.startswith("kubernetes-")]
SHOWN = {
    "kubernetes-rayjob": ('ray_crd_available{kind="RayJob"}', 1.0),
    "kubernetes-workloads": ('fleet_workload_pods{namespace="fleet",kind="Pod",workload="worker",phase="Pending"}', 1.0),
    "kubernetes-nodes": ('fleet_node_pool_gpus_allocatable{pool="default"}', 0.0),
    "kubernetes-vllm": ('vllm_discovered_servers{service="fleet/vllm-server"}', 1.0),
}
"""A series that shows that a source has read what its role lets it read."""

Right = tuple[str, str, str]
"""API group, resource, verb."""


def rights(documents: Sequence[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for document in documents
        for rule in document.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def without(documents: Sequence[dict[str, Any]], right: Right) -> list[dict[str, Any]]:
    """The same documents with rules that grant each right but one."""
    changed = copy.deepcopy(list(documents))
    kept = [{"apiGroups": [group], "resources": [resource], "verbs": [verb]} for group, resource, verb in
            sorted(rights(documents) - {right})]  # fmt: skip
    for document in changed:
        if "rules" in document:
            document["rules"] = kept
    return changed


@dataclass(frozen=True)
class Account:
    """A ServiceAccount that has been given some documents of the page, and no other right."""

    server: Kubernetes
    token: str
    kubeconfig: Path

    def status(self, method: str, path: str, body: Any = None) -> int:
        return self.server.request(method, path, body, token=self.token)[0]

    def rights(self, namespace: str) -> set[Right]:
        """The permissions that the API server lists, except the one to list them."""
        review = {"spec": {"namespace": namespace}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        status, response = self.server.request("POST", path, review, token=self.token)
        assert status == 201
        return {
            (group, resource, verb)
            for rule in response["status"]["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            if not resource.startswith("selfsubject")
        }


@pytest.fixture(scope="module")
def server(kubernetes_server: Kubernetes) -> Kubernetes:
    """With something of each kind in the namespace `fleet`."""
    created = kubernetes_server.create
    created("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    created(
        f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs",
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "train"}, "spec": {}},
    )
    containers = [{"name": "c", "image": "registry.example/fleet/worker:v1"}]
    created(f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": {"name": "worker"}, "spec": {"containers": containers}})
    created("/api/v1/nodes", {"metadata": {"name": "node-of-no-pool"}})
    created(
        f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "vllm", "labels": {"kubernetes.io/service-name": "vllm-server"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"port": 8000}],
        },
    )
    return kubernetes_server


def account(server: Kubernetes, folder: Path, name: str, *documents: dict[str, Any]) -> Account:
    """An account of that name with these documents, their names and subjects changed to its own so that each is alone."""
    token = server.service_account_token(name, namespace="monitoring")
    for document in copy.deepcopy(documents):
        meta = document["metadata"]
        meta["name"] = f"{meta['name']}-{name}"
        if "roleRef" in document:
            document["roleRef"]["name"] = f"{document['roleRef']['name']}-{name}"
            [subject] = document["subjects"]
            assert (subject["name"], subject["namespace"]) == ("fleet-exporter", "monitoring")
            subject["name"] = name
        kind = f"{document['kind'].lower()}s"
        scope = f"namespaces/{meta['namespace']}/" if "namespace" in meta else ""
        server.create(f"{RBAC}/{scope}{kind}", document)
    made = Account(server, token, server.write_kubeconfig(token, folder / f"{name}.kubeconfig"))
    # The server's authorizer learns of a binding a moment after it was made.
    wait_for(lambda: rights(documents) <= made.rights(NAMESPACE), what=f"the rights of {name}")
    return made


def source_of(role: str, kubeconfig: Path) -> Source:
    """The source that the role is for."""
    match role:
        case "kubernetes-rayjob":
            return Rayjob(RayjobOptions(kubeconfig=kubeconfig, namespaces=(NAMESPACE,)))
        case "kubernetes-vllm":
            return Vllm(VllmOptions(kubeconfig=kubeconfig, service=(f"{NAMESPACE}/vllm-server",)))
        case "kubernetes-nodes":
            return Workloads(WorkloadsOptions(kubeconfig=kubeconfig, namespaces=(NAMESPACE,), nodes=True))
    return Workloads(WorkloadsOptions(kubeconfig=kubeconfig, namespaces=(NAMESPACE,), usage=True))


def documents_for(role: str) -> list[dict[str, Any]]:
    """The manifests of the role, and of the further role that its source needs."""
    return [*manifests(role), *(manifests("kubernetes-workloads") if role == "kubernetes-nodes" else ())]


@pytest.mark.parametrize("role", ROLES)
async def test_the_source_reads_everything_required(server: Kubernetes, tmp_path: Path, role: str) -> None:
    given = account(server, tmp_path, f"whole-{role}", *documents_for(role))
    name, value = SHOWN[role]
    source = source_of(role, given.kubeconfig)
    async with following(source) as shows:
        await shows(name, value)
        if isinstance(source, Rayjob):
            job = await source.job(NAMESPACE, "train")
            assert job is not None
            assert job["name"] == "train"


@pytest.mark.parametrize("role", ROLES)
def test_the_account_has_exactly_these_permissions(server: Kubernetes, tmp_path: Path, role: str) -> None:
    given = account(server, tmp_path, f"exact-{role}", *manifests(role))

    assert given.rights(NAMESPACE) == rights(manifests(role))
    assert given.rights("kube-system") == (rights(manifests(role)) if role == "kubernetes-nodes" else set())


async def _lacks_pools(source: Source) -> bool:
    """Whether pods are exported and pools are not: without permission for nodes, only pools are missing."""
    try:
        page = series(await samples_of(source))
    except SourceError:
        return False
    return SHOWN["kubernetes-workloads"][0] in page and not any(name.startswith("fleet_node_pool") for name in page)


@pytest.mark.parametrize(
    ("role", "right"),
    [(role, right) for role in ROLES for right in sorted(rights(manifests(role)))],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
async def test_every_permission_is_required(server: Kubernetes, tmp_path: Path, role: str, right: Right) -> None:
    name = f"less-{'-'.join(part or 'core' for part in right)}".replace(".", "-")
    others = manifests("kubernetes-workloads") if role == "kubernetes-nodes" else []
    given = account(server, tmp_path, name, *without(manifests(role), right), *others)

    if right == USAGE:  # no metrics API is here: with permission the response is 404, without it 403
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods"
        whole = account(server, tmp_path, "may-read-usage", *manifests(role))
        assert (whole.status("GET", path), given.status("GET", path)) == (404, 403)
        return
    source = source_of(role, given.kubeconfig)
    async with following(source) as shows:
        if right == ONE_JOB:
            await shows(*SHOWN[role])
            assert isinstance(source, Rayjob)
            with pytest.raises(SourceError, match="403"):
                await source.job(NAMESPACE, "train")
        elif right[1] in OPTIONAL_KINDS:
            await shows(f'fleet_exporter_lookup_up{{source="{source.kind}",server="",lookup="{right[1]}"}}', 0.0)
            if role == "kubernetes-nodes":
                await eventually(lambda: _lacks_pools(source))
        else:
            await is_denied(source)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/fleet/secrets"),
        ("GET", "/api/v1/namespaces/fleet/configmaps"),
        ("GET", "/api/v1/namespaces/fleet/pods/worker"),
        ("GET", "/api/v1/namespaces/fleet/pods/worker/log"),
        ("POST", "/api/v1/namespaces/fleet/pods/worker/exec"),
        ("POST", "/api/v1/namespaces/fleet/pods/worker/eviction"),
        ("POST", "/api/v1/namespaces/fleet/pods"),
        ("DELETE", "/api/v1/namespaces/fleet/pods/worker"),
        ("DELETE", "/api/v1/nodes/node-of-no-pool"),
        ("POST", "/apis/ray.io/v1/namespaces/fleet/rayjobs"),
        ("DELETE", "/apis/ray.io/v1/namespaces/fleet/rayjobs/train"),
        ("PUT", "/apis/ray.io/v1/namespaces/fleet/rayjobs/train/status"),
        ("DELETE", "/apis/ray.io/v1/namespaces/fleet/rayjobs"),
        ("POST", "/apis/discovery.k8s.io/v1/namespaces/fleet/endpointslices"),
        ("GET", "/apis/ray.io/v1/namespaces/default/rayjobs"),
        ("GET", "/apis/ray.io/v1/rayjobs"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/namespaces/kube-system/pods"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        ("POST", "/api/v1/namespaces/monitoring/serviceaccounts/fleet-exporter/token"),
    ],
)
def test_with_all_roles_everything_else_is_forbidden(server: Kubernetes, tmp_path: Path, method: str, path: str) -> None:
    everything = [document for role in ROLES for document in manifests(role)]
    given = account(server, tmp_path, "every-role", *everything)

    assert given.status(method, path, {} if method in ("POST", "PUT") else None) == 403
    assert server.request("GET", "/apis/ray.io/v1/namespaces/fleet/rayjobs/train")[0] == 200
