"""Kernel namespaces (network, mounts, processes) for servers that would change the machine.

Everything that runs in a sandbox, and every mount, bridge and packet filter rule that it makes, ends with the
sandbox's first process, however that one ends. A pair of virtual network devices joins it to this machine. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from servers.cache import ServerMissing
from servers.process import Process, ServerFailed, process, wait_for

_TOOLS = ("ip", "nsenter", "unshare")
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP = "k8s.io"
"""containerd's, for pods."""
_INIT = """
import pathlib, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel then reaps what loses its parent
pathlib.Path("ready").touch()
signal.pause()
"""
_HIDDEN = ("/run", "/var/log", "/var/lib/cni")
"""Folders at fixed places where containerd and the kubelet write: empty ones inside."""
_MOST = 64


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A running sandbox. Addresses are of 198.18.0.0/15, the range for benchmarks, which no real network uses."""

    number: int
    pid: int
    """Of its first process, seen from outside."""

    @property
    def host_address(self) -> str:
        """This machine's address, seen from inside."""
        return f"198.18.{self.number}.1"

    @property
    def address(self) -> str:
        """The sandbox's address, seen from this machine."""
        return f"198.18.{self.number}.2"

    @property
    def pods(self) -> str:
        """A network for containers inside; this machine has a route to it."""
        return f"198.19.{self.number}.0/24"

    @property
    def services(self) -> str:
        """A network for virtual addresses inside; this machine has a route to it."""
        return f"198.19.{128 + self.number}.0/24"

    @property
    def enter(self) -> tuple[str, ...]:
        """The command prefix that runs a command inside."""
        return ("nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--ipc", "--uts", "--")

    def run(self, *command: str | Path) -> str:
        """The output of a command inside. Raises ServerFailed with the end of its output."""
        return _run(*self.enter, *command)


def prepare() -> None:
    """Raises ServerMissing if no sandbox can be created."""
    if os.geteuid() != 0:
        raise ServerMissing("a cluster with pods needs namespaces of the kernel and thus root: run as root")
    if absent := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise ServerMissing(f"a cluster with pods needs {' and '.join(absent)}: install iproute2 and util-linux")


@contextlib.contextmanager
def start(folder: Path) -> Iterator[Sandbox]:
    """An empty sandbox with a network; what runs inside is killed at the end. `folder` takes its log."""
    prepare()
    namespaces = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
    command = ["unshare", *namespaces, sys.executable, "-I", "-S", "-c", _INIT]
    ready = folder / "ready"
    with _mount_points(), process(command, name="sandbox", folder=folder, ready=ready.exists) as holder:
        pid = _first_child(holder)
        number = _connect(pid)
        sandbox = Sandbox(number=number, pid=pid)
        try:
            for hidden in _HIDDEN:
                sandbox.run("mount", "-t", "tmpfs", "tmpfs", hidden)
            sandbox.run("ip", "address", "add", f"{sandbox.address}/30", "dev", "uplink")
            for device in ("lo", "uplink"):
                sandbox.run("ip", "link", "set", device, "up")
            sandbox.run("ip", "route", "add", "default", "via", sandbox.host_address)
            for network in (sandbox.pods, sandbox.services):
                _run("ip", "route", "add", network, "via", sandbox.address)
            yield sandbox
        finally:
            # The network namespace outlives its processes for a moment, and the device's name with it.
            with contextlib.suppress(ServerFailed):
                _run("ip", "link", "delete", _device(number))
            holder.kill()  # `unshare` ignores SIGTERM
            wait_for(lambda: _ended(pid), what="the processes of a sandbox to end")
            _remove_empty_cgroups()


@contextlib.contextmanager
def _mount_points() -> Iterator[None]:
    """Creates the hidden folders for the duration of the context."""
    made = [folder for folder in map(Path, _HIDDEN) if not folder.exists()]
    for folder in made:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # another sandbox needs it
                folder.rmdir()


def _first_child(holder: Process) -> int:
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
    return int(children[0])


def _device(number: int) -> str:
    return f"fleet{number}"


def _connect(pid: int) -> int:
    """The number of a new pair of network devices, `uplink` being the end inside. Several sandboxes may run at once."""
    for number in range(_MOST):
        device = _device(number)
        link = ["ip", "link", "add", device, "type", "veth", "peer", "name", "uplink", "netns", str(pid)]
        if subprocess.run(link, capture_output=True, check=False).returncode == 0:
            _run("ip", "address", "add", f"198.18.{number}.1/30", "dev", device)
            _run("ip", "link", "set", device, "up")
            return number
    raise ServerFailed(f"no network device could be made for a sandbox: {' '.join(link)} failed")


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _ended(pid: int) -> bool:
    """Whether the first process has ended, and so every process with it: the kernel ends them before it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _remove_empty_cgroups() -> None:
    """Remove what containerd left in every hierarchy, deepest first; the kernel keeps groups that have a process."""
    for group in (_CGROUPS / _CGROUP, *_CGROUPS.glob(f"*/{_CGROUP}")):
        for folder in (*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group):
            with contextlib.suppress(OSError):
                folder.rmdir()
