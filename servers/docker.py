"""Docker: the host's engine where one answers, or else Debian's, unpacked into the cache and run on its own socket.

Nothing is installed and no daemon of the host is touched. Debian's engine needs root, starts in about 5 s and keeps its
images and build layers in the cache. One process at a time uses it; the next waits. Base images are made by `mmdebstrap`,
because no registry may be within reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers import debian
from servers.cache import CACHE, Progress, ServerMissing, cached, silent
from servers.process import process

_RELEASE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-venv", "python3-pip")
"""The part of the official Python image that the Dockerfile uses."""
RECIPE = "fleet-exporter.recipe"
"""The label of locally built images: the inputs of their build."""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PARTS = ("containerd", "runc", "iptables", "tini")
_STATE = CACHE / "docker"
_SOCKET = _STATE / "docker.sock"


class DockerFailed(Exception):
    """One sentence: which docker command failed, and the end of what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A running engine: its command line client and the variables to reach it."""

    client: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    own: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables of this process with the engine's."""
        return os.environ | dict(self.variables)

    def attempt(
        self, *arguments: str | Path, folder: Path | None = None, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`docker ARGUMENTS` with its exit code and output."""
        command = [self.client, *arguments]
        return subprocess.run(
            command, cwd=folder, env=self.environment, input=input, capture_output=True, text=True, check=False
        )

    def docker(self, *arguments: str | Path, folder: Path | None = None, input: str | None = None) -> str:
        """What `docker ARGUMENTS` writes to stdout. Raises DockerFailed if its exit code is not 0."""
        done = self.attempt(*arguments, folder=folder, input=input)
        if done.returncode != 0:
            raise DockerFailed(f"docker {arguments[0]} failed with exit code {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def has(self, image: str) -> bool:
        """Whether an image with that tag exists."""
        return self.attempt("image", "inspect", image).returncode == 0

    def pull(self, image: str) -> bool:
        """Whether the image is there now; the own engine reaches no registry and does not try."""
        return self.has(image) or (not self.own and self.attempt("pull", "-q", image).returncode == 0)

    def made_from(self, image: str) -> str | None:
        """The recipe of a locally built image, "" for any other image, None if it does not exist."""
        done = self.attempt("image", "inspect", "--format", f'{{{{index .Config.Labels "{RECIPE}"}}}}', image)
        return done.stdout.strip() if done.returncode == 0 else None

    def provide_base(self, tag: str, progress: Progress = silent) -> None:
        """Put a Debian 12 with Python 3.11 under that tag, unless the image is there or can be pulled."""
        if self.pull(tag):
            return
        archive = base(progress)
        settings = ["-c", f"ENV PIP_CERT={_CERTIFICATES}", "-c", 'CMD ["python3"]']
        self.docker("import", *settings, archive, tag)


def prepare(progress: Progress = silent) -> None:
    """Fetch the engine and the base image, unless the host has an engine. Raises ServerMissing."""
    if _host() is None:
        _binaries(progress)
        base(progress)


def base(progress: Progress = silent) -> Path:
    """A tar of a minimal Debian 12 with Python 3.11, venv and pip, about 250 MB. Raises ServerMissing.

    The host's certificate authorities are copied, so that a build works behind a proxy that signs with its own.
    """
    if os.geteuid() != 0:
        raise ServerMissing("making a Debian base image needs root: run as root, or give Docker a registry")

    def build(folder: Path) -> None:
        progress("making a Debian 12 base image, about a minute the first time")
        tool = debian.unpacked("mmdebstrap", progress) / "usr/bin/mmdebstrap"
        command: list[str | Path] = ["perl", tool, "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
        if _CERTIFICATES.exists():
            command.append(f"--customize-hook=copy-in {_CERTIFICATES} {_CERTIFICATES.parent}")
        command += ['--customize-hook=ln -s python3 "$1/usr/bin/python"', _RELEASE, folder / "base.tar"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ServerMissing(f"mmdebstrap could not make a Debian base image: {reason[0]}")

    return cached(f"debian-12-base-{'-'.join(_PACKAGES)}", build) / "base.tar"


def _host() -> Engine | None:
    """The host's engine, if one answers."""
    client = shutil.which("docker")
    engine = Engine(client=Path(client)) if client else None
    return engine if engine and engine.attempt("version", "--format", "{{.Server.Version}}").returncode == 0 else None


def _binaries(progress: Progress) -> Path:
    """The root of Debian's engine with what it runs. Raises ServerMissing."""
    if os.geteuid() != 0:
        raise ServerMissing("no Docker engine answers, and starting one needs root: start Docker or run as root")
    root = debian.unpacked("docker.io", progress, extra=_PARTS)
    for name in ("iptables", "ip6tables"):  # in a package, links to these are made by its installation
        link = root / "usr/sbin" / name
        with contextlib.suppress(FileExistsError):
            link.symlink_to("xtables-nft-multi")
    return root


@contextlib.contextmanager
def engine(progress: Progress = silent) -> Iterator[Engine]:
    """An engine that answers: the host's, or Debian's until the end. Raises ServerMissing or ServerFailed."""
    if (found := _host()) is not None:
        yield found
        return
    root = _binaries(progress)
    _STATE.mkdir(parents=True, exist_ok=True)
    with (_STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _own(root) as started:
            yield started


@contextlib.contextmanager
def _own(root: Path) -> Iterator[Engine]:
    binary = root / "usr/sbin/dockerd"
    path = f"{root}/usr/sbin:{root}/usr/bin:{os.environ.get('PATH', '')}"
    libraries = debian.libraries(binary)
    modules = next(root.glob("usr/lib/*-linux-gnu*/xtables"), root)
    env = {**libraries, "PATH": path, "XTABLES_LIBDIR": str(modules)}
    pid = _STATE / "pid"
    pid.unlink(missing_ok=True)  # of a killed engine; after a reboot another process may have this PID
    places = ["--data-root", str(_STATE / "data"), "--exec-root", str(_STATE / "exec"), "--pidfile", str(pid)]
    command = [str(binary), *places, "-H", f"unix://{_SOCKET}"]
    variables = {
        "DOCKER_HOST": f"unix://{_SOCKET}",
        "DOCKER_BUILDKIT": "0",  # it would need a plug-in
        "DOCKER_CONFIG": str(_configuration()),
    }
    own = Engine(client=root / "usr/bin/docker", variables=variables, own=True)

    def ready() -> bool:
        return own.attempt("version", "--format", "{{.Server.Version}}").returncode == 0

    with process(command, name="dockerd", folder=_STATE, ready=ready, env=env):
        _clear(own)  # left by a killed run
        try:
            yield own
        finally:
            _clear(own)


def _configuration() -> Path:
    """The client's folder with Compose as its plug-in, from the development dependencies."""
    folder = _STATE / "config"
    plugin = folder / "cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.unlink(missing_ok=True)
    plugin.symlink_to(Path(sys.executable).with_name("docker-compose"))
    return folder


def _clear(own: Engine) -> None:
    """Remove every container, volume and network. Images and build layers stay for the next run, but for old ones."""
    if containers := own.docker("ps", "-aq").split():
        own.docker("rm", "-f", "-v", *containers)
    own.docker("volume", "prune", "-f")
    own.docker("network", "prune", "-f")
    own.docker("image", "prune", "-f", "--filter", "until=168h")
