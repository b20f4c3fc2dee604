"""The systemd unit: accepted by systemd, sandboxed, and without a restriction that affects the exporter."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from exporter.settings import options
from servers import debian, systemd
from servers.process import free_port, wait_for
from tests.support.process import exporter
from tests.support.servers import required

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/systemd"
UNIT = FOLDER / "fleet-exporter.service"
EXPOSURE = 11
"""Highest exposure, in tenths, as `systemd-analyze security --threshold` takes it; the highest possible is 100."""


def settings(name: str) -> list[str]:
    """The values of a directive of the unit, in order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def systemd_root() -> Path:
    with required():
        return systemd.prepare()


@pytest.fixture
def machine(systemd_root: Path, tmp_path: Path) -> Path:
    """The files of a machine with the exporter installed as the README says."""
    units = tmp_path / "usr/lib/systemd/system"
    shutil.copytree(systemd_root / "lib/systemd/system", units, symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    program = tmp_path / settings("ExecStart")[0].lstrip("/")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    shutil.copy(UNIT, tmp_path / "etc/systemd/system")
    return tmp_path


def verify(systemd_root: Path, machine: Path) -> tuple[int, str]:
    unit = f"/etc/systemd/system/{UNIT.name}"
    done = systemd.analyze(systemd_root, f"--root={machine}", "verify", "--man=no", "--recursive-errors=no", unit)
    return done.returncode, done.stderr


def test_systemd_accepts_the_unit(systemd_root: Path, machine: Path) -> None:
    assert verify(systemd_root, machine) == (0, "")


def test_a_misspelt_directive_would_be_found(systemd_root: Path, machine: Path) -> None:
    installed = machine / "etc/systemd/system" / UNIT.name
    installed.write_text(UNIT.read_text().replace("PrivateTmp=", "PrivateTemp="))
    code, complaint = verify(systemd_root, machine)

    assert code == 1
    assert "Unknown key 'PrivateTemp'" in complaint


def test_the_exposure_is_low(systemd_root: Path) -> None:
    flags = ("--offline=yes", "--no-pager", f"--threshold={EXPOSURE}")
    done = systemd.analyze(systemd_root, "security", *flags, UNIT)

    assert done.returncode == 0, done.stdout
    shown = re.search(r"Overall exposure level for fleet-exporter\.service: ([\d.]+)", done.stdout)
    assert shown is not None
    assert f"an exposure of {shown[1]} " in (FOLDER / "README.md").read_text()


def test_a_collection_uses_only_allowed_system_calls(systemd_root: Path, tmp_path: Path) -> None:
    """A start, a scrape of sources that are down, the page and the end, under strace."""
    with required():
        binary = systemd.strace()
    (group, denied) = settings("SystemCallFilter")
    assert denied.startswith("~")
    allowed = systemd.system_calls(systemd_root, group) - systemd.system_calls(systemd_root, *denied[1:].split())
    trace, url = tmp_path / "trace", f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [binary, "-D", "-f", "-o", trace, Path(sys.executable).with_name("fleet-exporter")]
    with exporter(
        command=[*command, "--web.listen-address=127.0.0.1:0", f"--jetstream.url=nats://{url}", f"--vllm.url=http://{url}"],
        variables={"REDIS_URL": f"redis://{url}", "NEO4J_URI": f"bolt://{url}"} | debian.libraries(binary),
    ) as running:
        assert "fleet_exporter_source_up" in httpx.get(f"{running.url}/metrics", timeout=30).text
        assert httpx.get(running.url, timeout=30).status_code == 200
        main = running.process.pid
    wait_for(
        lambda: re.search(rf"^{main} +\+\+\+ exited with 0", trace.read_text(), re.MULTILINE) is not None, what="the trace"
    )
    calls = trace.read_text()
    used = set(re.findall(r"^\d+ +([a-z]\w*)\(", calls, re.MULTILINE))

    assert used >= {"openat", "socket", "connect", "mmap"}
    assert used - allowed == set()
    # MemoryDenyWriteExecute
    assert not re.search(r"PROT_WRITE\|PROT_EXEC", calls)
    # RestrictAddressFamilies
    families = set(re.findall(r"\bsocket\(AF_(\w+)", calls))
    assert families <= {family.removeprefix("AF_") for family in settings("RestrictAddressFamilies")[0].split()}


def test_the_readme_installs_what_the_unit_runs() -> None:
    page = (FOLDER / "README.md").read_text()
    folder = str(Path(settings("ExecStart")[0]).parents[1])

    assert f"python3.11 -m venv {folder}\n" in page
    assert settings("EnvironmentFile")[0].lstrip("-") in page
    assert all((ROOT / file).is_file() for file in re.findall(r"deploy/systemd/[\w.-]+", page))


def test_the_environment_file_names_the_exporters_variables() -> None:
    known = {option.variable for option in options()} | {option.well_known_variable for option in options()}
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (FOLDER / "environment").read_text(), re.MULTILINE))

    assert named - known == {"FLEET_EXPORTER_CONFIG_FILE"}
