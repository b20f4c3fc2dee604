"""Cilium, a pod network that enforces NetworkPolicy: agent and CNI plugin built with Go, on tools from Debian's packages.

The agent compiles its eBPF programs with clang when it starts. There is no Cilium operator: for one node, its custom
resource definitions are enough, and the controller manager assigns the node's pod network. The first build takes some
four minutes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from servers import debian, go
from servers.cache import Progress, cached, silent
from servers.kubernetes import Kubernetes
from servers.kubernetes_crds import CRDS
from servers.process import process
from servers.sandbox import Sandbox

_BUILD = Path(__file__).parent / "cilium_build"
_MODULE = "github.com/cilium/cilium"
_CLANG = "16"
_PACKAGES = (f"libllvm{_CLANG}", "libedit2", "libbsd0", "libxml2", "bpftool", "iptables", "ipset", "libipset13")
_IPTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")

_START = """
set -e
if ! [ -e /proc/modules ]; then
    mkdir -p /run/proc
    mount -t proc proc /run/proc
    mount -t tmpfs tmpfs /proc
    ln -s /run/proc/* /proc
    touch /proc/modules
fi
exec "$@"
"""
"""In a mount namespace: a kernel without loadable modules has no list of them, without which the agent exits."""

NETWORK = {"cniVersion": "0.3.1", "name": "cilium", "plugins": [{"type": "cilium-cni"}]}
"""The CNI configuration that containerd reads."""


def prepare(progress: Progress = silent) -> Path:
    """The folder of `cilium-agent`, `cilium-cni`, the sources `bpf` and the definitions `crds`. Raises ServerMissing."""
    found = re.search(rf"{re.escape(_MODULE)} v([\d.]+)$", (_BUILD / "go.mod").read_text(), re.MULTILINE)
    assert found is not None

    def build(folder: Path) -> None:
        stamp = f"-X {_MODULE}/pkg/version.ciliumVersion={found[1]}"
        packages = [f"{_MODULE}/daemon", f"{_MODULE}/plugins/cilium-cni"]
        keep = {_MODULE: {"bpf": "bpf", "pkg/k8s/apis/cilium.io/client/crds": "crds"}}
        go.build(_BUILD, packages, folder, ldflags=stamp, keep=keep, progress=progress)
        (folder / "daemon").rename(folder / "cilium-agent")

    _tools(progress)
    return cached(f"cilium-{found[1]}", build, progress)


def _tools(progress: Progress = silent) -> Path:
    """The root of clang and of the commands that the agent runs. Raises ServerMissing."""
    return debian.unpacked(f"clang-{_CLANG}", progress, extra=_PACKAGES)


def _environment(folder: Path) -> dict[str, str]:
    """Where the agent finds its commands, under their usual names."""
    root = _tools()
    commands = folder / "bin"
    commands.mkdir()
    for name in _IPTABLES:  # which of its variants `iptables` is, Debian decides at installation
        (commands / name).symlink_to(root / "usr/sbin/xtables-nft-multi")
    (commands / "clang").symlink_to(root / f"usr/lib/llvm-{_CLANG}/bin/clang")
    (extensions,) = root.glob("usr/lib/*/xtables")
    path = f"{commands}:{root / 'usr/sbin'}:{os.environ['PATH']}"
    return {"PATH": path, "XTABLES_LIBDIR": str(extensions), **debian.libraries(root / "usr/sbin/bpftool")}


def plugins(folder: Path, *, loopback: Path) -> Path:
    """A new folder in `folder` with the CNI plugins that containerd runs."""
    place = folder / "plugins"
    place.mkdir()
    for binary in (prepare() / "cilium-cni", loopback):
        (place / binary.name).symlink_to(binary)
    return place


@contextlib.contextmanager
def start(api: Kubernetes, inside: Sandbox, *, node: str, folder: Path) -> Iterator[None]:
    """The agent of the node in the sandbox, which has a pod network assigned; ready when pods can join the network."""
    binaries = prepare()
    for file in sorted((binaries / "crds").rglob("*.yaml")):
        api.create(CRDS, yaml.safe_load(file.read_text()))
    library = folder / "cilium"
    shutil.copytree(binaries / "bpf", library / "bpf")  # the agent writes headers into it
    command: list[str | Path] = [*inside.enter, "unshare", "--mount", "sh", "-c", _START, "sh", binaries / "cilium-agent"]
    command += [f"--{name}={_flag(value)}" for name, value in _options(api, inside, library).items()]
    socket = Path(f"/proc/{inside.pid}/root/run/cilium/cilium.sock")
    env = _environment(library) | {"K8S_NODE_NAME": node}
    with process(command, name="cilium-agent", folder=folder, ready=socket.exists, env=env, deadline=180):
        yield


def _flag(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(api: Kubernetes, inside: Sandbox, library: Path) -> dict[str, Any]:
    """Services stay kube-proxy's, and routes the kernel's: the agent only connects pods and filters their packets."""
    return {
        "k8s-kubeconfig-path": api.kubeconfig,
        "lib-dir": library,
        "ipam": "kubernetes",
        "identity-allocation-mode": "crd",
        "routing-mode": "native",
        "ipv4-native-routing-cidr": inside.pods,
        "enable-endpoint-routes": True,
        "enable-host-legacy-routing": True,
        "enable-ipv6": False,
        "enable-ipv4-masquerade": False,
        "enable-ipv6-masquerade": False,
        "enable-l7-proxy": False,
        "enable-health-checking": False,
        "enable-endpoint-health-checking": False,
        "kube-proxy-replacement": "false",
    }
