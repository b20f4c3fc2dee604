"""Prometheus and promtool from Debian's package (or the PATH): ready in a fraction of a second."""

from __future__ import annotations

import contextlib
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.servers import debian
from demo.servers.cache import Progress, silent
from demo.servers.process import Process, free_port, process, temporary_folder


@dataclass(frozen=True)
class Prometheus:
    url: str
    port: int
    process: Process


def prepare(progress: Progress = silent) -> Path:
    """The folder of `prometheus` and `promtool`."""
    if (found := shutil.which("prometheus")) and shutil.which("promtool"):
        return Path(found).parent
    return debian.unpacked("prometheus", progress) / "usr/bin"


def promtool(progress: Progress = silent) -> Path:
    """The checker of pages, rules and configurations."""
    found = shutil.which("promtool")
    return Path(found) if found else prepare(progress) / "promtool"


@contextlib.contextmanager
def start(*, config: str, port: int | None = None) -> Iterator[Prometheus]:
    """A server with that configuration (YAML text); its data goes when it ends."""
    port = port or free_port()
    binaries = prepare()
    with temporary_folder("prometheus") as folder:
        file = folder / "prometheus.yml"
        file.write_text(config)
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [
            binaries / "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
        ]
        command += [f"--web.listen-address=127.0.0.1:{port}"]

        def ready() -> bool:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as reply:  # noqa: S310 - loopback
                return bool(reply.status == 200)

        with process(command, name="prometheus", folder=folder, ready=ready, env=debian.libraries(binaries)) as running:
            yield Prometheus(url, port, running)
