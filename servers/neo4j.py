"""Neo4j Community from Maven Central: its jars and a launcher of our own, run by Java; ready in about ten seconds.

The first run fetches 116 MB and compiles the launcher, about a minute. A running server takes 460 MiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import debian
from servers.cache import Progress, ServerMissing, cached, silent
from servers.command import CommandFailed, run
from servers.process import Server, free_port, process, temporary_folder

_BUILD = Path(__file__).parent / "neo4j_build"
_LAUNCHER = "FleetGraph.java"
_USER = "neo4j"
_OLDEST_JAVA = 17
_MODULES = "java.se,jdk.unsupported,jdk.management,jdk.crypto.ec,jdk.zipfs,jdk.net,jdk.naming.dns,jdk.incubator.vector"


@dataclass(frozen=True, kw_only=True)
class RunningNeo4j(Server):
    """A running database and its account."""

    user: str
    password: str


def _version() -> str:
    pom = (_BUILD / "pom.xml").read_text()
    found = re.search(r"<artifactId>neo4j</artifactId>\s*<version>([\d.]+)</version>\s*</dependency>", pom)
    return found[1] if found else "unknown"


def _tools(names: tuple[str, ...], progress: Progress) -> dict[str, str]:
    """Paths of the tools; on Debian as root, missing ones are installed. Raises ServerMissing."""
    if (found := _found(names)) is not None:
        return found
    wish = "install openjdk-17-jdk-headless and maven"
    if os.geteuid() != 0:
        raise ServerMissing(f"Neo4j needs Java {_OLDEST_JAVA} or later with its compiler, and Maven: {wish}")
    progress("installing Debian's JDK and Maven")
    refused = debian.install("openjdk-17-jdk-headless", "maven")
    if refused is None and (found := _found(names)) is not None:
        return found
    reason = refused or "the PATH still names older ones"
    raise ServerMissing(f"Neo4j needs a JDK and Maven, which could not be installed here ({reason}): {wish}")


def _found(names: tuple[str, ...]) -> dict[str, str] | None:
    """The tools when all are on the PATH and Java is not too old."""
    found = {name: path for name in names if (path := shutil.which(name))}
    if len(found) < len(names):
        return None
    try:
        shown = run([found["java"], "-version"])
    except CommandFailed:
        return None
    version = re.search(r'version "(\d+)', shown)
    return found if version and int(version[1]) >= _OLDEST_JAVA else None


def prepare(progress: Progress = silent) -> tuple[Path, Path]:
    """The folders of Neo4j's jars and of the compiled launcher. Raises ServerMissing."""
    launcher = (_BUILD / _LAUNCHER).read_bytes()

    def fetch(folder: Path) -> None:
        tools = _tools(("java", "javac", "mvn"), progress)
        progress(f"downloading Neo4j {_version()} (116 MB)")
        copied = 0

        def count(line: str) -> None:
            nonlocal copied
            if line.startswith("[INFO] Copying "):
                copied += 1
            progress.steps(copied, 0, "jars")

        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        _run([tools["mvn"], "-B", "-f", f"{_BUILD}/pom.xml", *copy], folder, count)

    def compile_launcher(folder: Path) -> None:
        tools = _tools(("java", "javac"), progress)
        release = ["--release", str(_OLDEST_JAVA)]
        progress("compiling the launcher")
        _run([tools["javac"], *release, "-cp", f"{jars}/*", "-d", str(folder), f"{_BUILD}/{_LAUNCHER}"], folder)

    jars = cached(f"neo4j-jars-{_version()}", fetch, progress)
    classes = cached(f"neo4j-launcher-{hashlib.sha256(launcher).hexdigest()[:12]}-{_version()}", compile_launcher, progress)
    _tools(("java",), progress)
    return jars, classes


def runtime(progress: Progress = silent) -> Path:
    """A Java runtime that can be copied elsewhere, 100 MB, linked from the JDK. Raises ServerMissing."""

    def link(folder: Path) -> None:
        tools = _tools(("java", "jlink"), progress)
        progress("linking a Java runtime")
        small = ["--strip-java-debug-attributes", "--no-man-pages", "--no-header-files"]
        try:
            run([tools["jlink"], "--add-modules", _MODULES, *small, "--output", str(folder / "java")], folder=folder)
        except CommandFailed as failed:
            raise ServerMissing(f"jlink could not link a Java runtime ({failed}): check the installed JDK") from None

    return cached(f"java-runtime-{_OLDEST_JAVA}", link, progress) / "java"


def _run(command: list[str], folder: Path, on_line: Callable[[str], None] | None = None) -> None:
    try:
        run(command, folder=folder, cause=_cause, on_line=on_line)
    except CommandFailed as failed:
        tool = "Maven" if Path(command[0]).name == "mvn" else "javac"
        advice = "check that Maven Central is reachable" if tool == "Maven" else "check the installed JDK"
        raise ServerMissing(f"{tool} could not prepare Neo4j ({failed}): {advice}") from None


def _cause(lines: Sequence[str]) -> str:
    """Maven's first line of severity ERROR holds the cause, those after it advice."""
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    return next(filter(None, errors), lines[-1] if lines else "")


@contextlib.contextmanager
def start(*, password: str = "fleet-demo", port: int | None = None, without: Sequence[str] = ()) -> Iterator[RunningNeo4j]:
    """An empty database with that password for the user neo4j; the password has eight characters or more.

    `without` are built-in procedures that the server does not have.
    """
    jars, classes = prepare()
    port = free_port(port)
    with temporary_folder("neo4j") as folder:
        command = ["java", "-Xms128m", "-Xmx512m", "-XX:-UsePerfData"]  # otherwise performance data is written to /tmp
        command += [f"-Dwithout={','.join(without)}"] if without else []
        command += [f"-Djava.io.tmpdir={folder}", f"-Djna.tmpdir={folder}", "-cp", f"{jars}/*:{classes}"]
        command += ["FleetGraph", str(folder / "data"), str(port)]

        def ready() -> bool:
            # Bolt accepts connections before the password is set; the launcher prints `ready` after both.
            return "ready" in (folder / "neo4j.log").read_text().splitlines()

        env = {"NEO4J_PASSWORD": password}
        with process(command, name="neo4j", folder=folder, ready=ready, env=env, deadline=240) as running:
            url = f"bolt://127.0.0.1:{port}"
            yield RunningNeo4j(url=url, port=port, process=running, user=_USER, password=password)
