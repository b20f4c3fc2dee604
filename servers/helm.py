"""Helm, one binary built with Go; its commands run with a separate home, to ignore the user's configuration.

The first build takes a minute and a half and leaves one binary (50 MB).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from servers import go
from servers.cache import Progress, cached, silent

_BUILD = Path(__file__).parent / "helm_build"
_MODULE = "helm.sh/helm/v3"


def prepare(progress: Progress = silent) -> Path:
    """The binary: the PATH's where it is version 3 or 4, or one built here. Raises ServerMissing."""
    if (found := shutil.which("helm")) and re.match(r"v[34]\.", _version_of(found)):
        return Path(found)
    required = (_BUILD / "go.mod").read_text()
    version = re.search(rf"{re.escape(_MODULE)} (v[\d.]+)", required)
    kubernetes = re.search(r"k8s\.io/client-go v0\.(\d+)", required)
    assert version is not None
    assert kubernetes is not None
    # Without a cluster Helm takes the Kubernetes version it is stamped with, or 1.20.
    stamps = {"internal/version.version": version[1]}
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        stamps |= {f"{package}.k8sVersionMajor": "1", f"{package}.k8sVersionMinor": kubernetes[1]}

    def build(folder: Path) -> None:
        flags = " ".join(f"-X {_MODULE}/{name}={value}" for name, value in stamps.items())
        go.build(_BUILD, [f"{_MODULE}/cmd/helm"], folder, ldflags=flags, progress=progress)

    return cached(f"helm-{version[1]}", build, progress) / "helm"


def _version_of(binary: str) -> str:
    shown = subprocess.run([binary, "version", "--template={{.Version}}"], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def run(
    binary: Path, arguments: Sequence[str | Path], *, home: Path, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """One finished command: its exit code and output. `home` takes Helm's caches and settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    own = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    # Without a kubeconfig Helm would look for the user's, or for a cluster around it.
    own["KUBECONFIG"] = str(kubeconfig or home / "none")
    return subprocess.run(
        [binary, *arguments], env=inherited | own, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
