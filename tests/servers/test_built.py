"""Neo4j and the Kubernetes API server: each answers over its own protocol and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import neo4j as driver
import pytest
from kubernetes import client, config

from servers import kubernetes, neo4j
from servers.kubernetes import apply_ray_crds, delete_ray_crds
from servers.process import ServerFailed, wait_for
from tests.support.servers import required

pytestmark = pytest.mark.usefixtures("nothing_left")

ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/fleet"
RAYJOBS = "/apis/ray.io/v1/namespaces/default/rayjobs"


def test_neo4j_keeps_its_data_over_a_restart() -> None:
    with required():
        neo4j.prepare()
    with neo4j.start(password="another-secret") as server:
        with driver.GraphDatabase.driver(server.url, auth=(server.user, server.password)) as graph:
            graph.execute_query("CREATE (:Story {name: 'US-1'})")
            edition = graph.execute_query("CALL dbms.components() YIELD edition").records[0]["edition"]
        server.process.restart()
        with driver.GraphDatabase.driver(server.url, auth=(server.user, server.password)) as graph:
            stories = graph.execute_query("MATCH (story:Story) RETURN story.name AS name").records
        with (
            driver.GraphDatabase.driver(server.url, auth=(server.user, "wrong-secret")) as graph,
            pytest.raises(driver.exceptions.AuthError),
        ):
            graph.verify_connectivity()

    assert edition == "community"
    assert [story["name"] for story in stories] == ["US-1"]


def test_neo4j_reports_why_it_cannot_start() -> None:
    with required():
        neo4j.prepare()
    with (
        pytest.raises(ServerFailed, match=r"(?s)^neo4j ended with code 1: .*password"),
        neo4j.start(password="short"),
    ):
        pass


@pytest.fixture
def cluster(nothing_left: Path) -> Iterator[kubernetes.Kubernetes]:
    with required():
        kubernetes.prepare()
    with kubernetes.start(tokens=[("reader", ["readers"])]) as server:
        yield server


def listed(server: kubernetes.Kubernetes) -> Any:
    """The RayJobs once the server can list them, which after a restart takes a moment."""
    wait_for(lambda: server.request("GET", RAYJOBS)[0] == 200, what="a list of RayJobs")
    return server.request("GET", RAYJOBS)[1]["items"]


def test_kubernetes_authenticates_by_token_and_authorizes_by_role(cluster: kubernetes.Kubernetes, tmp_path: Path) -> None:
    token = cluster.service_account_token("exporter", namespace="fleet")
    pods = "/api/v1/namespaces/fleet/pods"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    subjects = [{"kind": "ServiceAccount", "name": "exporter", "namespace": "fleet"}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"}
    cluster.create(f"{ROLE}/roles", {"metadata": {"name": "pods"}, "rules": rules})
    cluster.create(f"{ROLE}/rolebindings", {"metadata": {"name": "pods"}, "roleRef": role, "subjects": subjects})
    wait_for(lambda: cluster.request("GET", pods, token=token)[0] == 200, what="the role to be known")

    assert cluster.request("GET", "/api/v1/pods", token=token)[0] == 403
    assert cluster.request("GET", pods, token="reader")[0] == 403
    assert cluster.request("GET", pods, token="unknown")[0] == 401
    kubeconfig = cluster.write_kubeconfig(token, tmp_path / "exporter.kubeconfig")
    assert kubeconfig.stat().st_mode & 0o077 == 0
    with config.new_client_from_config(str(kubeconfig)) as api:
        assert client.CoreV1Api(api).list_namespaced_pod("fleet").items == []
    with config.new_client_from_config(str(cluster.kubeconfig)) as api:
        assert client.VersionApi(api).get_code().git_version == "v1.36.3"


def test_kubernetes_installs_and_removes_ray_crds_and_keeps_objects_over_a_restart(cluster: kubernetes.Kubernetes) -> None:
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "one"}, "spec": {"entrypoint": "python"}}
    apply_ray_crds(cluster)
    cluster.create(RAYJOBS, job)
    path = f"{RAYJOBS}/one/status"
    patch = {"status": {"jobStatus": "RUNNING"}}
    assert cluster.request("PATCH", path, patch, content_type="application/merge-patch+json")[0] == 200
    pid, url = cluster.pid, cluster.url
    cluster.restart_api()
    assert (cluster.pid != pid, cluster.url) == (True, url)
    assert [item["status"]["jobStatus"] for item in listed(cluster)] == ["RUNNING"]

    delete_ray_crds(cluster)
    assert cluster.request("GET", RAYJOBS)[0] == 404
    apply_ray_crds(cluster)
    assert listed(cluster) == []


def test_the_api_server_can_be_stopped_and_started(cluster: kubernetes.Kubernetes) -> None:
    cluster.stop_api()
    with pytest.raises(httpx.ConnectError):
        cluster.request("GET", "/version")
    cluster.start_api()
    assert cluster.request("GET", "/version")[0] == 200


def test_kubernetes_reports_why_it_cannot_start() -> None:
    with required():
        kubernetes.prepare()
    with (
        pytest.raises(ServerFailed, match=r"(?s)^kube-apiserver ended with code 1: .*nonsense"),
        kubernetes.start(api_args=["--nonsense"]),
    ):
        pass
