"""`make demo` in a Debian 12 container with only Python 3.11, make and git, up to its first page.

Covered: the environment from nothing, and the servers of the first page, as root and as an ordinary user. Servers that take
minutes to build join later; the demo is interrupted before, as Ctrl-C does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.docker import Engine
from servers.process import wait_for
from tests.e2e.containers import Container, container

DEADLINE = 900.0
# An ordinary user cannot install Debian's python3-venv, so it is there for that user only.
DOCKERFILE = """
FROM {base} AS user
RUN apt-get update -q && apt-get install -y -q --no-install-recommends make git \\
    && apt-get purge -y -q --auto-remove python3-pip python3-setuptools python3-wheel \\
    && apt-get install -y -q python3-venv && rm -rf /var/lib/apt/lists/* && useradd --create-home fleet
FROM user AS root
RUN apt-get purge -y -q --auto-remove python3-venv python3.11-venv
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
INTERRUPT = """
import contextlib, os, pathlib, signal
for place in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        if (place / "comm").read_text().strip() == "make":
            os.killpg(os.getpgid(int(place.name)), signal.SIGINT)
"""

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def machines(engine: Engine, base_image: str) -> dict[str, str]:
    """The image of the bare machine for root and for an ordinary user."""
    text = DOCKERFILE.format(base=base_image)
    for who in ("user", "root"):
        engine.docker("build", "-q", "--target", who, "-t", f"fleet-exporter-bare:{who}", "-", input=text)
    return {who: f"fleet-exporter-bare:{who}" for who in ("user", "root")}


@pytest.fixture(params=["root", "user"])
def machine(
    request: pytest.FixtureRequest, engine: Engine, machines: dict[str, str], clone: Path, tmp_path: Path
) -> Iterator[tuple[Container, Path]]:
    """A bare machine with a fresh clone in the home folder, and a folder here that it writes to as /out."""
    name, home = ("root", "/root") if request.param == "root" else ("fleet", "/home/fleet")
    tmp_path.chmod(0o777)
    options = ["--init", f"--volume={tmp_path}:/out", f"--workdir={home}/fleet-exporter"]
    with container(engine, machines[request.param], *options, command=["sleep", "infinity"]) as started:
        engine.docker("cp", clone, f"{started.id}:{home}")
        started.run("chown", "-R", f"{name}:{name}", home)
        yield Container(engine, started.id, user=name), tmp_path


def test_only_python_make_and_git_are_installed(engine: Engine, machines: dict[str, str]) -> None:
    look = "for tool in curl g++ gcc git go java make mvn node npm pip python3.11; do which $tool; done; true"
    for image in machines.values():
        found = engine.docker("run", "--rm", image, "sh", "-c", look)

        assert [Path(line).name for line in found.split()] == ["git", "make", "python3.11"]


def test_make_demo_shows_its_first_page_and_ends_on_ctrl_c(machine: tuple[Container, Path]) -> None:
    bare, out = machine
    log, code = out / "demo.log", out / "demo.code"
    bare.start("trap : INT; make demo >/out/demo.log 2>&1; echo $? >/out/demo.code")  # Ctrl-C is not for this shell
    pages: list[str] = []

    def shown() -> bool:
        said = log.read_text() if log.exists() else ""
        assert not code.exists(), said
        pages.extend(re.findall(r"http://127\.0\.0\.1:\d+/metrics", said))
        return bool(pages)

    wait_for(shown, what="the demo's first page", deadline=DEADLINE)
    page = bare.run("python3", "-c", ASK, pages[0])
    bare.run("python3", "-c", INTERRUPT)
    wait_for(code.exists, what="the end of the demo", deadline=60)

    for source in ("jetstream", "valkey", "vllm"):
        assert re.search(rf'^fleet_exporter_source_up{{source="{source}".*}} 1$', page, re.MULTILINE)
    assert "Every server has stopped" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_an_ordinary_user_without_venv_gets_the_package_to_install(
    engine: Engine, machines: dict[str, str], clone: Path
) -> None:
    with container(
        engine, machines["root"], "--workdir=/home/fleet/fleet-exporter", command=["sleep", "infinity"]
    ) as started:
        engine.docker("cp", clone, f"{started.id}:/home/fleet")
        started.run("chown", "-R", "fleet:fleet", "/home/fleet")
        done = engine.attempt("exec", "--user=fleet", started.id, "make", "demo")

    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make: ***")]
    assert done.returncode != 0
    assert len(said) == 2
    assert "apt-get install python3.11-venv" in said[1]
