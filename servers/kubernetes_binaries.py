"""The API server and etcd, built with Go, alone or with further packages of Kubernetes' module."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from servers import go
from servers.cache import CACHE, Progress, cached, silent

_BUILD = Path(__file__).parent / "kubernetes_build"
_PACKAGES = {"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver", "server": "go.etcd.io/etcd/server/v3"}
"""By the name of the binary that Go makes."""


@functools.cache
def version() -> str:
    """The version that is built, such as v1.36.3."""
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (_BUILD / "go.mod").read_text())
    return found[1] if found else "unknown"


@functools.cache
def digest() -> str:
    """A short name for the versions of all that is built from the module."""
    return hashlib.sha256((_BUILD / "go.sum").read_bytes()).hexdigest()[:12]


def _name() -> str:
    return f"kubernetes-{version()}"


def prepare(progress: Progress = silent) -> Path:
    """The folder with `kube-apiserver` and `etcd`. Raises ServerMissing."""

    def alone(folder: Path) -> None:
        _compile(folder, _PACKAGES.values(), progress=progress)
        (folder / "server").rename(folder / "etcd")

    return cached(_name(), alone, progress)


def build_with(
    packages: Sequence[str], folder: Path, *, keep: Mapping[str, Mapping[str, str]], progress: Progress = silent
) -> None:
    """Build further packages of the same module into `folder`, and the API server with them where it is missing.

    One build compiles what they share once. `keep` is as in `go.build`. Raises ServerMissing.
    """
    missing = not (CACHE / _name()).exists()
    _compile(folder, [*packages, *(_PACKAGES.values() if missing else ())], keep=keep, progress=progress)

    def moved(place: Path) -> None:
        for built, name in (("kube-apiserver", "kube-apiserver"), ("server", "etcd")):
            (folder / built).rename(place / name)

    if missing:
        cached(_name(), moved)
        for name in _PACKAGES:  # still here when another process was faster
            (folder / name).unlink(missing_ok=True)


def _compile(
    folder: Path,
    packages: Iterable[str],
    *,
    keep: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    progress: Progress,
) -> None:
    stamp = f"-X k8s.io/component-base/version.gitVersion={version()}"
    go.build(_BUILD, list(packages), folder, ldflags=stamp, keep=keep, progress=progress)
