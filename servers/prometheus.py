"""Prometheus and promtool from Debian's package (or the PATH): ready in a fraction of a second."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import debian
from servers.cache import CACHE, Progress, silent
from servers.process import Server, answers, free_port, process, temporary_folder


@dataclass(frozen=True, kw_only=True)
class Prometheus(Server):
    """A running Prometheus and the file of its configuration."""

    config_file: Path

    def reload(self, config: str) -> None:
        """Use another configuration (YAML text) from the next scrape on; stored series are kept."""
        self.config_file.write_text(config)
        os.kill(self.pid, signal.SIGHUP)


def prepare(progress: Progress = silent) -> Path:
    """The folder of `prometheus` and `promtool`. Raises ServerMissing."""
    if (found := shutil.which("prometheus")) and shutil.which("promtool"):
        return Path(found).parent
    return debian.unpacked("prometheus", progress) / "usr/bin"


def promtool(progress: Progress = silent) -> Path:
    """The checker of pages, rules and configurations. Raises ServerMissing."""
    found = shutil.which("promtool")
    return Path(found) if found else prepare(progress) / "promtool"


@contextlib.contextmanager
def start(
    *, config: str, port: int | None = None, args: Sequence[str] = (), data: Path | None = None
) -> Iterator[Prometheus]:
    """A server with that configuration (YAML text) and further flags `args`; its data is deleted when it stops.

    `data` is a folder of blocks to begin with, which stays.

    Files that the configuration names are sought from its own folder, so name them in full.
    """
    binaries = prepare()
    port = free_port(port)
    with temporary_folder("prometheus") as folder:
        file = folder / "prometheus.yml"
        file.write_text(config)
        file.chmod(0o600)
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [binaries / "prometheus", f"--config.file={file}"]
        command += [f"--storage.tsdb.path={data or folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", *args]
        if (pages := binaries.parent / "share/prometheus/web").is_dir() and binaries.is_relative_to(CACHE):
            command.append(f"--web.local-assets={pages}/")  # Debian's flag; else they are sought where the package goes
        env = debian.libraries(binaries)
        with process(command, name="prometheus", folder=folder, ready=lambda: answers(f"{url}/-/ready"), env=env) as running:
            yield Prometheus(url=url, port=port, process=running, config_file=file)
