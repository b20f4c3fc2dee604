"""Debian packages unpacked into the cache: nothing is installed, so no daemon of theirs is ever started."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from demo.servers.cache import CACHE, Progress, ServerMissing, cached, silent

_PLATFORM = "x86_64-linux-gnu"


def unpacked(package: str, progress: Progress = silent, *, beside: tuple[str, ...] = ()) -> Path:
    """The root of a package's files (`usr/bin/…`), with packages `beside` it and libraries the machine lacks.

    Takes seconds and `apt-get`, not root. Raises ServerMissing.
    """

    def build(folder: Path) -> None:
        for name in dict.fromkeys(
            [package, *beside, *(need for owner in (package, *beside) for need in _needed(owner))]
        ):
            progress(f"fetching Debian's {name}")
            _download(name, folder)
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, folder], check=True, capture_output=True)
            archive.unlink()

    if shutil.which("apt-get") is None:
        raise ServerMissing(f"{package} is not on the PATH and this is no Debian system: install it by hand")
    return cached(f"debian-{package}", build)


def _needed(package: str) -> list[str]:
    """Shared libraries that the package names and this machine does not have installed."""
    _known(package)
    shown = subprocess.run(["apt-cache", "show", package], capture_output=True, text=True, check=False).stdout
    depends = re.search(r"^Depends: (.*)$", shown, re.MULTILINE)
    names = set(re.findall(r"\b(lib(?!js-)[\w.+-]+)", depends[1])) if depends else set()
    status = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\n"], capture_output=True, text=True, check=False)
    return sorted(names - set(status.stdout.split()))


def _known(package: str) -> None:
    """Fetch the package lists where apt does not know the package, as on a fresh machine."""
    shown = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    if "Candidate:" not in shown.stdout or "Candidate: (none)" in shown.stdout:
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)


def _download(name: str, folder: Path) -> None:
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", name]
    for refresh in (True, False):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if refresh:  # lists older than the archive name packages that are gone
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
    raise ServerMissing(f"Debian's {name} cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}")


def libraries(binary: Path) -> dict[str, str]:
    """The environment by which a binary of the cache finds the libraries unpacked beside it."""
    if not binary.is_relative_to(CACHE):
        return {}
    root = CACHE / binary.relative_to(CACHE).parts[0]
    return {"LD_LIBRARY_PATH": f"{root}/usr/lib/{_PLATFORM}:{root}/lib/{_PLATFORM}"}
