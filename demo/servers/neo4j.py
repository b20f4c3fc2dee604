"""Neo4j Community from Maven Central: its jars and a launcher of our own, run by Java; ready in about ten seconds.

The first run fetches 116 MB and compiles the launcher, about a minute.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.servers.cache import Progress, ServerMissing, cached, silent
from demo.servers.process import Process, free_port, process, temporary_folder

_BUILD = Path(__file__).parent / "neo4j_build"
_USER = "neo4j"


@dataclass(frozen=True)
class Neo4j:
    url: str
    user: str
    password: str
    port: int
    process: Process


def _version() -> str:
    found = re.search(r"<artifactId>neo4j</artifactId>\s*<version>([\d.]+)</version>\s*</dependency>", _pom())
    return found[1] if found else "unknown"


def _pom() -> str:
    return (_BUILD / "pom.xml").read_text()


def _java(progress: Progress) -> None:
    """See that java, javac and mvn are there; on Debian as root they are installed."""
    if all(shutil.which(tool) for tool in ("java", "javac", "mvn")):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ServerMissing("Neo4j needs a JDK and Maven: install openjdk-17-jdk-headless and maven")
    progress("installing Debian's JDK and Maven")
    subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "openjdk-17-jdk-headless", "maven"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerMissing(f"Neo4j needs a JDK and Maven, and apt-get could not install them: {done.stderr[-300:]}")


def prepare(progress: Progress = silent) -> Path:
    """The folder with `lib/` and the compiled launcher. Raises ServerMissing."""

    def build(folder: Path) -> None:
        progress(f"fetching Neo4j {_version()} (116 MB)")
        for file in _BUILD.iterdir():
            shutil.copy(file, folder)
        _checked(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"], folder)
        _checked(["javac", "-cp", "lib/*", "FleetGraph.java"], folder)

    _java(progress)
    return cached(f"neo4j-{_version()}", build)


def _checked(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerMissing(f"Neo4j could not be made ready: {command[0]} said {(done.stdout + done.stderr)[-500:]}")


@contextlib.contextmanager
def start(*, password: str = "fleet-demo", port: int | None = None) -> Iterator[Neo4j]:
    """An empty database with that password for the user neo4j."""
    home = prepare()
    port = port or free_port()
    with temporary_folder("neo4j") as folder:
        command = ["java", "-Xms128m", "-Xmx512m", "-cp", f"{home}/lib/*:{home}", "FleetGraph"]
        command += [str(folder / "data"), str(port)]

        def ready() -> bool:
            return "ready" in (folder / "neo4j.log").read_text().splitlines()

        env = {"NEO4J_PASSWORD": password}
        with process(command, name="neo4j", folder=folder, ready=ready, env=env, deadline=120) as running:
            yield Neo4j(f"bolt://127.0.0.1:{port}", _USER, password, port, running)
