"""The chart's NetworkPolicy in effect, on a cluster whose pods are connected by Cilium.

Of the other engines, kube-router, kube-network-policies and Antrea are not available as Go modules, and
Calico's module has no release.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers import cilium, cluster, helm, nats, valkey
from servers.cluster import Cluster
from servers.process import wait_for
from tests.e2e.cluster.conftest import NAMESPACE, PORT, RELEASE, ROOT, Release
from tests.support.documentation import blocks
from tests.support.servers import required

BACKENDS = {"nats": ("fleet", 4222), "valkey": ("other", 6379)}
"""Namespace and port; the documentation's policy allows the first namespace only."""
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
CLIENTS = {"prometheus": (NAMESPACE, PROMETHEUS), "neighbor": (NAMESPACE, {}), "impostor": ("other", PROMETHEUS)}
"""Pods that try to connect: namespace and labels. The policy allows the first only."""
IMAGE = "registry.example/fleet-exporter"

_GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())
"""


def pod(name: str, namespace: str, labels: Mapping[str, str], image: str, *args: str) -> dict[str, Any]:
    container = {"name": name, "image": image, "imagePullPolicy": "Never", "args": list(args)}
    meta = {"name": name, "namespace": namespace, "labels": {"app": name, **labels}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


@dataclass(frozen=True)
class Client:
    """A pod of this cluster that does nothing, and whose network namespace requests are sent from."""

    cluster: Cluster
    name: str
    namespace: str

    def get(self, url: str) -> str | None:
        """The body of a response; None if there is no connection within 3 s."""
        command = ["nsenter", f"--target={self._process()}", "--net", sys.executable, "-I", "-c", _GET, url]
        done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "timed out" in done.stderr, done.stderr
        return done.stdout if done.returncode == 0 else None

    def _process(self) -> int:
        _, found = self.cluster.api.request("GET", f"/api/v1/namespaces/{self.namespace}/pods/{self.name}")
        (status,) = found["status"]["containerStatuses"]
        container = status["containerID"].rpartition("/")[2]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if container in (folder / "cgroup").read_text():
                    return int(folder.name)
            except OSError:  # it has exited
                continue
        raise AssertionError(f"no process of pod {self.name}")


@pytest.fixture(scope="module")
def enforcing(archive: Path) -> Iterator[Cluster]:
    """A cluster on Cilium with a NATS server, a ValKey server and the clients as pods."""
    with required():
        cilium.prepare()
        cluster.prepare()
        binaries = {"nats": nats.prepare(), "valkey": valkey.prepare()}
    args = {"nats": ["--jetstream", "--store_dir=/tmp"], "valkey": ["--protected-mode", "no", "--save", ""]}
    with cluster.start(enforcing=True) as running:
        running.load(archive)
        for name in {NAMESPACE, *(namespace for namespace, _ in BACKENDS.values())}:
            running.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            _wait_found(running, f"/api/v1/namespaces/{name}/serviceaccounts/default")
        for name, (namespace, port) in BACKENDS.items():
            running.load_binary(f"registry.example/{name}:1", binaries[name])
            running.create(pod(name, namespace, {}, f"registry.example/{name}:1", *args[name]))
            meta = {"name": name, "namespace": namespace}
            spec = {"selector": {"app": name}, "ports": [{"port": port}]}
            running.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        for name, (namespace, labels) in CLIENTS.items():
            running.create(pod(name, namespace, labels, cluster.PAUSE))
        places = {name: namespace for name, (namespace, _) in [*BACKENDS.items(), *CLIENTS.items()]}
        for name, namespace in places.items():
            _wait_ready(running, f"/api/v1/namespaces/{namespace}/pods/{name}")
        yield running


def _wait_found(running: Cluster, path: str) -> None:
    wait_for(lambda: running.api.request("GET", path)[0] == 200, what=path)


def _wait_ready(running: Cluster, path: str) -> None:
    def ready() -> bool:
        conditions = running.api.request("GET", path)[1]["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    wait_for(ready, what=f"{path} to be ready", deadline=120)


@pytest.fixture(scope="module")
def clients(enforcing: Cluster) -> dict[str, Client]:
    return {name: Client(enforcing, name, namespace) for name, (namespace, _) in CLIENTS.items()}


def documented() -> dict[str, Any]:
    """The values of the page's section on NetworkPolicy."""
    (found,) = [
        values
        for block in blocks(ROOT / "docs/kubernetes.md")
        if block.language == "yaml" and (values := yaml.safe_load(block.text)).keys() == {"networkPolicy"}
    ]
    return dict(found)


@pytest.fixture(scope="module")
def release(enforcing: Cluster, clients: dict[str, Client], tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The chart without a NetworkPolicy, all sources up and every client served; then with the documentation's."""
    with required():
        binary = helm.prepare()
    folder = tmp_path_factory.mktemp("helm")
    installed = Release(enforcing, binary, folder)
    addresses = {name: f"{name}.{namespace}:{port}" for name, (namespace, port) in BACKENDS.items()}
    config = {
        "jetstream": {"url": [addresses["nats"]]},
        "valkey": {"url": [addresses["valkey"]]},
        "workloads": {"in_cluster": True, "namespaces": ["fleet"]},
    }
    values = folder / "values.yaml"
    values.write_text(yaml.safe_dump({"image": {"repository": IMAGE}, "config": config}))
    installed.helm("install", RELEASE, ROOT / "deploy/helm", "-n", NAMESPACE, "--values", values)
    installed.wait()
    wait_for(lambda: served(installed, clients) == list(CLIENTS), what="every client to be served", deadline=60)
    everything = {"fleet": 1, "jetstream": 1, "valkey": 1, "workloads": 1}
    wait_for(lambda: up(installed, clients) == everything, what="every source to be up", deadline=60)
    policy = documented()
    # The API server of this cluster is not where the example has it.
    policy["networkPolicy"]["kubernetesApi"] = {"ports": [443, enforcing.api.port]}
    values.write_text(yaml.safe_dump(policy))
    chart = ROOT / "deploy/helm"
    installed.helm("upgrade", RELEASE, chart, "-n", NAMESPACE, "--reset-then-reuse-values", "--values", values)
    installed.wait()
    wait_for(lambda: served(installed, clients) == ["prometheus"], what="the policy to have effect", deadline=60)
    return installed


def served(release: Release, clients: Mapping[str, Client]) -> list[str]:
    """The clients that can read the metrics."""
    return [name for name, client in clients.items() if client.get(url(release)) is not None]


def url(release: Release) -> str:
    (found,) = release.pods()
    return f"http://{found['status']['podIP']}:{PORT}/metrics"


def up(release: Release, clients: dict[str, Client]) -> dict[str, float]:
    """Whether each source is up, as the allowed client reads it."""
    page = clients["prometheus"].get(url(release)) or ""
    lines = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up{")]
    return {line.partition('source="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_only_the_allowed_peer_is_served(release: Release, clients: dict[str, Client]) -> None:
    assert served(release, clients) == ["prometheus"]
    assert "fleet_exporter_build_info" in (clients["prometheus"].get(url(release)) or "")


def test_only_the_configured_egress_works(release: Release, clients: dict[str, Client]) -> None:
    """DNS and the Kubernetes API, which every policy allows, and the namespace `fleet`; a source elsewhere is down."""
    restarted = release.pods()[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{restarted}"
    release.cluster.api.request("DELETE", path)  # connections of before the policy may go on
    wait_for(lambda: release.cluster.api.request("GET", path)[0] == 404, what="the pod to be replaced", deadline=60)
    release.wait()
    expected = {"fleet": 1, "jetstream": 1, "valkey": 0, "workloads": 1}
    wait_for(lambda: up(release, clients) == expected, what="the sources that are up", deadline=60)


def test_helm_test_and_the_probes_pass_under_the_policy(release: Release) -> None:
    release.helm("test", RELEASE, "-n", NAMESPACE)
    (found,) = release.pods()

    assert [each["ready"] for each in found["status"]["containerStatuses"]] == [True]
    assert [each["restartCount"] for each in found["status"]["containerStatuses"]] == [0]
