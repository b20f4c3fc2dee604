"""A cluster with pods, the project's image in it, and the chart installed as the README says."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats as client
import pytest

from servers import cluster, docker, helm, nats, prometheus_operator
from servers.cluster import Cluster
from servers.process import wait_for
from tests.support.servers import required

ROOT = Path(__file__).parents[3]
RELEASE, NAMESPACE = "fleet-exporter", "monitoring"
IMAGE = "registry.example/fleet-exporter:0.1.0"
"""As README.md and docs/kubernetes.md have it."""
PORT = 9847
STREAMS = [f"STREAM_{number}" for number in range(6)]

Page = dict[str, float]


def page_of(address: str) -> Page:
    """The series of a page of the exporter at host:port."""
    reply = httpx.get(f"http://{address}/metrics", timeout=10, trust_env=False)
    reply.raise_for_status()
    lines = (line.rpartition(" ") for line in reply.text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


@dataclass(frozen=True)
class Release:
    """The installed chart."""

    cluster: Cluster
    binary: Path
    home: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return helm.run(self.binary, arguments, home=self.home, kubeconfig=self.cluster.api.kubeconfig)

    def helm(self, *arguments: str | Path) -> str:
        """What a Helm command prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def upgrade(self, *values: str) -> None:
        """Change these values and no others, and wait until every pod is of the new version and none of an old one."""
        settings = [part for value in values for part in ("--set", value)]
        self.helm("upgrade", RELEASE, ROOT / "deploy/helm", "-n", NAMESPACE, "--reset-then-reuse-values", *settings)
        self.wait()

    def wait(self) -> None:
        for name in self.names("apis/apps/v1", "deployments"):
            self.cluster.wait_available(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
        wait_for(lambda: all("deletionTimestamp" not in pod["metadata"] for pod in self.pods()), what="old pods to end")

    def names(self, group: str, plural: str) -> list[str]:
        """Names of the release's objects of a kind."""
        return [each["metadata"]["name"] for each in self._items(f"/{group}/namespaces/{NAMESPACE}/{plural}")]

    def pods(self) -> list[dict[str, Any]]:
        """The exporter's pods, including terminating ones."""
        return self._items(f"/api/v1/namespaces/{NAMESPACE}/pods", ",app.kubernetes.io/component=exporter")

    def _items(self, path: str, more: str = "") -> list[dict[str, Any]]:
        status, reply = self.cluster.api.request("GET", f"{path}?labelSelector=app.kubernetes.io/instance={RELEASE}{more}")
        assert status == 200, reply
        return list(reply["items"])

    @property
    def service(self) -> str:
        """Address of the release's Service, host:port."""
        _, found = self.cluster.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}")
        return f"{found['spec']['clusterIP']}:{found['spec']['ports'][0]['port']}"


@pytest.fixture(scope="session")
def archive(engine: docker.Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exporter's image as `docker push` would send it, under the name that the documents give it."""
    file = tmp_path_factory.mktemp("image") / "fleet-exporter.tar"
    engine.docker("tag", image, IMAGE)
    engine.docker("save", "-o", file, IMAGE)
    return file


@pytest.fixture(scope="session")
def node(archive: Path) -> Iterator[Cluster]:
    """A cluster with the Prometheus operator and, for pods, the exporter's image."""
    with required():
        prometheus_operator.prepare()
        cluster.prepare()
    with cluster.start() as running:
        running.load(archive)
        prometheus_operator.install(running)
        yield running


@pytest.fixture(scope="session")
def fleet(node: Cluster) -> Iterator[nats.Nats]:
    """NATS with the streams STREAMS outside the cluster, for pods at nats.fleet:4222."""

    async def make_streams() -> None:
        connection = await client.connect(server.url)
        for name in STREAMS:
            await connection.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
        await connection.close()

    with nats.start(address=node.inside.host_address) as server:
        asyncio.run(make_streams())
        external_service(node, "nats", "fleet", port=4222, server=(node.inside.host_address, server.port))
        yield server


@pytest.fixture(scope="session")
def release(node: Cluster, fleet: nats.Nats, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """What the README's `helm install` makes, all pods ready."""
    with required():
        binary = helm.prepare()
    installed = Release(node, binary, tmp_path_factory.mktemp("helm"))
    (command,) = re.findall(r"^ *(helm install (?:.*\\\n)*.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    _, *arguments = shlex.split(command.replace("\\\n", " "))
    installed.helm(*(str(ROOT / part) if part == "deploy/helm" else part for part in arguments))
    installed.wait()
    return installed


def external_service(node: Cluster, name: str, namespace: str, *, port: int, server: tuple[str, int]) -> None:
    """A Service for a server outside the cluster."""
    address, target = server
    meta = {"name": name, "namespace": namespace}
    node.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    ports = [{"name": name, "port": port, "targetPort": target}]
    node.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}})
    node.create(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}],
            "ports": [{"name": name, "port": target}],
        }
    )


def processes(pod: dict[str, Any]) -> list[int]:
    """Process IDs, seen from this machine, of the exporter in a pod."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:  # it has exited
            continue
        if b"--config.file=/etc/fleet-exporter/config.yaml" in command:
            found += [int(folder.name)] if f"HOSTNAME={pod['metadata']['name']}".encode() in environment else []
    return found
