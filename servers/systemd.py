"""systemd-analyze and strace, the checkers of a unit: from the PATH, or Debian's packages in the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from servers import debian
from servers.cache import Progress, silent


def prepare(progress: Progress = silent) -> Path:
    """The root of the files of the package systemd: `/`, or a folder of the cache. Raises ServerMissing."""
    return Path("/") if shutil.which("systemd-analyze") else debian.unpacked("systemd", progress)


def strace(progress: Progress = silent) -> Path:
    """The binary of strace. Raises ServerMissing."""
    return Path(shutil.which("strace") or debian.unpacked("strace", progress) / "usr/bin/strace")


def analyze(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze` with these arguments; offline checks need no running systemd."""
    binary = root / "usr/bin/systemd-analyze"
    env = os.environ | debian.libraries(binary)
    if found := env.get("LD_LIBRARY_PATH"):
        env["LD_LIBRARY_PATH"] = ":".join([found, *(f"{folder}/systemd" for folder in found.split(":"))])
    return subprocess.run([binary, *arguments], env=env, capture_output=True, text=True, check=False)


def system_calls(root: Path, *groups: str) -> set[str]:
    """The system calls of filter groups such as `@system-service`, including nested groups."""
    shown = analyze(root, "syscall-filter", "--no-pager", *groups).stdout
    words = {line.strip() for line in shown.splitlines() if re.fullmatch(r" +@?[a-z][\w-]*", line)}
    nested = sorted(word for word in words if word.startswith("@"))
    return {word for word in words if not word.startswith("@")} | (system_calls(root, *nested) if nested else set())
