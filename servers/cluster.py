"""A Kubernetes cluster of one node with real pods: kubelet, containerd, controllers, scheduler, kube-proxy and CoreDNS.

Everything runs in a sandbox on this machine and ends with it. Pods are on a bridge, which enforces no NetworkPolicy, or on
Cilium, which does. Needs root. The first build takes some six minutes, the API server's included; ready in about 10 s, with
Cilium in about 20 s.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import cilium, containerd, kubernetes, kubernetes_binaries, oci, sandbox
from servers.cache import Progress, cached, silent
from servers.process import answers, process, temporary_folder, wait_for

NODE = "fleet-node"
OPERATOR_BUNDLE = "prometheus-operator.yaml"
_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
_CNI = "github.com/containernetworking/plugins/plugins"
_PACKAGES = (
    *(f"k8s.io/kubernetes/cmd/{name}" for name in ("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy")),
    *(f"{_CNI}/{name}" for name in ("main/bridge", "main/loopback", "ipam/host-local")),
    "./coredns",
    "./pause",
    *(f"{_OPERATOR}/cmd/{name}" for name in ("operator", "prometheus-config-reloader")),
)
PAUSE = "registry.k8s.io/pause:3.10"
_DOMAIN = "cluster.local"


def prepare(progress: Progress = silent) -> Path:
    """The folder with the binaries of the cluster and of the Prometheus operator. Raises ServerMissing."""
    sandbox.prepare()

    def build(folder: Path) -> None:
        keep = {_OPERATOR: {"bundle.yaml": OPERATOR_BUNDLE}}
        kubernetes_binaries.build_with(_PACKAGES, folder, keep=keep, progress=progress)

    containerd.prepare(progress)
    binaries = cached(f"kubernetes-node-{kubernetes_binaries.version()}-{kubernetes_binaries.digest()}", build, progress)
    kubernetes.prepare(progress)
    return binaries


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running cluster. This machine reaches its API server and its pods by their addresses, pods reach this machine."""

    api: kubernetes.Kubernetes
    containerd: containerd.Containerd = field(repr=False)
    inside: sandbox.Sandbox
    binaries: Path
    folder: Path

    def load(self, archive: Path) -> None:
        """Make the images of an archive (OCI, or `docker save`) available to pods under the names it gives them."""
        self.containerd.load(archive)

    def load_binary(self, image: str, binary: Path, *, name: str | None = None) -> None:
        """Make an image of one binary, started as `/bin/NAME`, available to pods under the full name `image`."""
        path = f"/bin/{name or binary.name}"
        archive = self.folder / "image.tar"
        oci.write(archive, image, {path: binary}, entrypoint=[path])
        self.load(archive)
        archive.unlink()

    def path(self, each: Mapping[str, Any]) -> str:
        """Where in the API objects of its kind are, in its namespace if it names one."""
        version, kind = each["apiVersion"], each["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        namespace = each["metadata"].get("namespace")
        return f"{root}{f'/namespaces/{namespace}' if namespace else ''}/{self._plurals(root)[kind]}"

    def wait_served(self, group: str, version: str, kind: str) -> None:
        """Return when the API serves a kind that was just defined."""
        wait_for(lambda: kind in self._plurals(f"/apis/{group}/{version}"), what=f"{kind} to be served", deadline=60)

    def _plurals(self, root: str) -> dict[str, str]:
        status, response = self.api.request("GET", root)
        found = response["resources"] if status == 200 else []
        return {each["kind"]: each["name"] for each in found if "/" not in each["name"]}

    def create(self, each: Mapping[str, Any]) -> None:
        """Create an object of any kind, unless it exists. Raises ServerFailed."""
        self.api.create(self.path(each), each)

    def wait_available(self, path: str, *, deadline: float = 120) -> None:
        """Return when the Deployment, StatefulSet or other owner at `path` has all pods of its newest version ready."""
        wait_for(lambda: _available(*self.api.request("GET", path)), what=f"pods of {path}", deadline=deadline)


def _available(status: int, owner: Any) -> bool:
    if status != 200 or owner["status"].get("observedGeneration") != owner["metadata"]["generation"]:
        return False
    wanted, counts = owner["spec"]["replicas"], owner["status"]
    return all(counts.get(name, 0) == wanted for name in ("replicas", "updatedReplicas", "readyReplicas"))


@contextlib.contextmanager
def start(*, enforcing: bool = False) -> Iterator[Cluster]:
    """A cluster whose node is ready and whose namespace `default` takes pods; `enforcing` puts them on Cilium."""
    binaries = prepare()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("cluster"))
        inside = stack.enter_context(sandbox.start(folder))
        plugins = cilium.plugins(folder, loopback=binaries / "loopback") if enforcing else binaries
        network = cilium.NETWORK if enforcing else None
        engine = stack.enter_context(
            containerd.start(inside, folder=folder, plugins=plugins, network=network, pause_image=PAUSE)
        )
        pause = folder / "pause.tar"
        oci.write(pause, PAUSE, {"/pause": binaries / "pause"}, entrypoint=["/pause"])
        engine.load(pause)
        api = stack.enter_context(
            kubernetes.start(address=inside.address, within=inside.enter, services=inside.services, controllers=True)
        )
        env = containerd.environment(engine.packages)
        for part in _components(api, inside, engine, folder):
            command: list[str | Path] = [*inside.enter, binaries / part.name, *part.flags]
            ready = functools.partial(answers, part.health)
            stack.enter_context(process(command, name=part.name, folder=folder, ready=ready, env=env))
        if enforcing:
            stack.enter_context(cilium.start(api, inside, node=NODE, folder=folder))
        wait_for(lambda: _ready(api), what="the node to be ready", deadline=120)
        yield Cluster(api=api, containerd=engine, inside=inside, binaries=binaries, folder=folder)


@dataclass(frozen=True)
class _NodeProcess:
    name: str
    flags: Sequence[str]
    health: str
    """The address of its health check."""


def _components(
    api: kubernetes.Kubernetes, inside: sandbox.Sandbox, engine: containerd.Containerd, folder: Path
) -> list[_NodeProcess]:
    """In the order of their start."""
    address = inside.address
    kubeconfig = f"--kubeconfig={api.kubeconfig}"
    corefile = folder / "Corefile"
    corefile.write_text(
        f". {{\n bind {address}\n errors\n ready {address}:8181\n"
        f" kubernetes {_DOMAIN} {{\n  kubeconfig {api.kubeconfig} fleet\n }}\n}}\n"
    )
    config = folder / "kubelet.json"
    config.write_text(json.dumps(_kubelet(inside, engine)))
    node = f"--hostname-override={NODE}"
    control = [kubeconfig, "--leader-elect=false", f"--bind-address={address}", f"--cert-dir={folder / 'tls'}"]
    accounts = [f"--service-account-private-key-file={api.service_account_key}", f"--root-ca-file={api.ca_file}"]
    controllers = [*control, *accounts, "--controllers=*,-bootstrap-signer-controller,-token-cleaner-controller"]
    # Cilium takes its addresses from the node's pod network; the bridge plugin is configured with its own.
    controllers += ["--allocate-node-cidrs", f"--cluster-cidr={inside.pods}", "--node-cidr-mask-size=24"]
    kubelet = [kubeconfig, node, f"--config={config}", f"--node-ip={address}", f"--root-dir={folder / 'kubelet'}"]
    proxy = [kubeconfig, node, "--proxy-mode=nftables", f"--cluster-cidr={inside.pods}", "--conntrack-max-per-core=0"]
    proxy += [f"--healthz-bind-address={address}:10256", f"--metrics-bind-address={address}:10249"]
    return [
        _NodeProcess("kubelet", kubelet, f"http://{address}:10248/healthz"),
        _NodeProcess("kube-controller-manager", controllers, f"https://{address}:10257/healthz"),
        _NodeProcess("kube-scheduler", control, f"https://{address}:10259/healthz"),
        _NodeProcess("kube-proxy", proxy, f"http://{address}:10256/healthz"),
        _NodeProcess("coredns", ["-conf", str(corefile), "-dns.port=53"], f"http://{address}:8181/ready"),
    ]


def _kubelet(inside: sandbox.Sandbox, engine: containerd.Containerd) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": inside.address,
        "healthzBindAddress": inside.address,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{engine.socket}",
        "clusterDNS": [inside.address],
        "clusterDomain": _DOMAIN,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "10Mi"},
        "resolvConf": "",
        "syncFrequency": "5s",  # how soon a pod sees a change of a Secret or ConfigMap that it mounts
    }


def _ready(api: kubernetes.Kubernetes) -> bool:
    status, node = api.request("GET", f"/api/v1/nodes/{NODE}")
    conditions = node["status"].get("conditions", []) if status == 200 else []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    # Without its ServiceAccount, a namespace takes no pods.
    return ready and not node["spec"].get("taints") and _status(api, "default") == 200


def _status(api: kubernetes.Kubernetes, namespace: str) -> int:
    return api.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")[0]
