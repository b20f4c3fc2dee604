"""Alertmanager and amtool: from the PATH where they are new enough, or else built with Go. Ready in a fraction of a second.

The first build takes a minute and leaves two binaries (90 MB).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from servers import go
from servers.cache import Progress, cached, silent
from servers.process import Server, answers, free_port, process, temporary_folder

_BUILD = Path(__file__).parent / "alertmanager_build"
_MODULE = "github.com/prometheus/alertmanager"
_OLDEST = (0, 31)
"""The first that knows `message_text`, the line that a phone shows."""


class Alertmanager(Server):
    """A running Alertmanager."""


def prepare(progress: Progress = silent) -> Path:
    """The folder of `alertmanager` and `amtool`. Raises ServerMissing."""
    found = shutil.which("alertmanager")
    if found and Path(found).with_name("amtool").exists() and _version(found) >= _OLDEST:
        return Path(found).parent
    version = re.search(rf"{re.escape(_MODULE)} v([\d.]+)", (_BUILD / "go.mod").read_text())
    assert version is not None

    def build(folder: Path) -> None:
        stamp = f"-X github.com/prometheus/common/version.Version={version[1]}"
        packages = [f"{_MODULE}/cmd/{name}" for name in ("alertmanager", "amtool")]
        go.build(_BUILD, packages, folder, ldflags=stamp, progress=progress)

    return cached(f"alertmanager-{version[1]}", build, progress)


def _version(binary: str) -> tuple[int, ...]:
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    shown = re.search(r"version (\d+)\.(\d+)", done.stdout + done.stderr)
    return (int(shown[1]), int(shown[2])) if shown else ()


def amtool(progress: Progress = silent) -> Path:
    """The checker of configurations, routes and templates. Raises ServerMissing."""
    return prepare(progress) / "amtool"


@contextlib.contextmanager
def start(*, config: str, port: int | None = None) -> Iterator[Alertmanager]:
    """An Alertmanager without peers, with that configuration (YAML text); its data is deleted when it stops.

    Files that the configuration names are sought from its own folder, so name them in full.
    """
    binaries = prepare()
    port = free_port(port)
    with temporary_folder("alertmanager") as folder:
        file = folder / "alertmanager.yml"
        file.write_text(config)
        file.chmod(0o600)
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [
            binaries / "alertmanager",
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url={url}",
            "--cluster.listen-address=",  # empty: no port for peers
        ]
        with process(command, name="alertmanager", folder=folder, ready=lambda: answers(f"{url}/-/ready")) as running:
            yield Alertmanager(url=url, port=port, process=running)
