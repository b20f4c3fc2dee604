"""containerd and runc from Debian's packages, unpacked and run in a sandbox: images are imported, none is pulled."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers import debian, sandbox
from servers.cache import Progress, silent
from servers.process import Process, process

_NETWORK = "fleet-pods"


def prepare(progress: Progress = silent) -> Path:
    """The folder of `containerd`, `ctr`, `runc` and `nft`. Raises ServerMissing."""
    return debian.unpacked("containerd", progress, extra=("runc", "nftables", "libnftables1")) / "usr"


def environment(packages: Path) -> dict[str, str]:
    """PATH with runc for containerd, and nft for CNI plugins."""
    path = f"{packages / 'bin'}:{packages / 'sbin'}:{os.environ['PATH']}"
    return {"PATH": path, **debian.libraries(packages / "bin/ctr")}


@dataclass(frozen=True, kw_only=True)
class Containerd:
    """A running containerd."""

    socket: Path
    packages: Path
    inside: sandbox.Sandbox = field(repr=False)
    process: Process = field(repr=False)

    def load(self, archive: Path) -> None:
        """Import the images of an archive (OCI, or `docker save`) for pods. Raises ServerFailed."""
        settings = [f"{name}={value}" for name, value in environment(self.packages).items()]
        command: list[str | Path] = [
            self.packages / "bin/ctr",
            f"--address={self.socket}",
            "--namespace=k8s.io",
            "images",
            "import",
        ]
        self.inside.run("env", *settings, *command, archive)


@contextlib.contextmanager
def start(
    inside: sandbox.Sandbox, *, folder: Path, plugins: Path, network: Mapping[str, object] | None, pause_image: str
) -> Iterator[Containerd]:
    """A containerd whose pods join `network`, a CNI configuration (None: a bridge); `plugins` is the CNI plugins' folder."""
    packages = prepare()
    networks = folder / "networks"
    networks.mkdir()
    (networks / "10-pods.conflist").write_text(json.dumps(network or _bridge(inside.pods)))
    socket = folder / "containerd.sock"
    config = folder / "containerd.toml"
    config.write_text(_config(folder, socket=socket, plugins=plugins, networks=networks, pause_image=pause_image))
    command: list[str | Path] = [*inside.enter, packages / "bin/containerd", f"--config={config}"]
    env = environment(packages)
    with process(command, name="containerd", folder=folder, ready=socket.exists, env=env) as running:
        yield Containerd(socket=socket, packages=packages, inside=inside, process=running)


def _config(folder: Path, *, socket: Path, plugins: Path, networks: Path, pause_image: str) -> str:
    return f"""
version = 2
root = "{folder / "containerd"}"
state = "{folder / "containerd-state"}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  disable_apparmor = true
  # runc inside a container or a small virtual machine may not lower it
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


def _bridge(pods: str) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,  # a pod may reach itself by its Service
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return {"cniVersion": "1.0.0", "name": _NETWORK, "plugins": [bridge]}
