"""The wheel as a user installs it: the command, and the dashboards and rules that come with it."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml

from exporter import __version__
from exporter.config.urls import EXPORTER_URL, GRAFANA_URL, RUNBOOK_URL
from tests.support.process import exporter

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "deploy/helm/files"
NOT_IN_A_CLONE = shutil.ignore_patterns(".*", "build", "dist", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a clean copy of the checkout."""
    source, out = tmp_path_factory.mktemp("source") / "clone", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, source, ignore=NOT_IN_A_CLONE)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", out, source], check=True, timeout=120)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the commands of a fresh environment after `pip install`: the wheel and what it declares."""
    environment = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", environment / "bin/python", "install", "-q"]
    subprocess.run([*pip, wheel], check=True, timeout=500)
    return environment / "bin"


def command(folder: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("FLEET_EXPORTER_", "PYTHON"))}
    return subprocess.run(
        [folder / "fleet-exporter", *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )


def test_the_wheel_contains_the_generated_files_under_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        bundled = {
            name.removeprefix("exporter/generated/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("exporter/generated/")
        }
        names = archive.namelist()

    files = (file for file in GENERATED.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    assert bundled == {str(file.relative_to(GENERATED)): file.read_bytes() for file in files}
    assert "exporter/sources/services/health_pb2.py" in names
    assert "exporter/web/static/live.js" in names
    assert {"exporter/py.typed", "exporter/help.txt"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name and ".data/" not in name} == {"exporter"}
    assert [name for name in names if name.endswith("share/man/man1/fleet-exporter.1")]


def test_the_wheel_has_authors_urls_and_classifiers(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))

    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"]
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])} >= {
        "Homepage",
        "Documentation",
        "Changelog",
    }
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_generated_messages_are_up_to_date(tmp_path: Path) -> None:
    folder = Path("exporter/sources/services")
    protos = sorted(str(proto.relative_to(ROOT)) for proto in (ROOT / folder).glob("*.proto"))
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*protoc, *protos], cwd=ROOT, check=True)

    made = {file.name: file.read_text() for file in (tmp_path / folder).iterdir()}
    assert made == {file.name: file.read_text() for file in (ROOT / folder).glob("*_pb2.py*")}


@pytest.mark.parametrize("form", ["configuration", "template", "resource"])
def test_alertmanager_files_equal_the_generated_ones(installed: Path, tmp_path: Path, form: str) -> None:
    chosen = [] if form == "template" else ["--critical-channel=#pager", "--secrets=/run/s", "--templates=/run/t"]
    switch: list[str] = {"configuration": [], "template": ["--template"], "resource": ["--resource"]}[form]
    generator = [sys.executable, "-m", "alerts.alertmanager", *switch, *chosen]
    wanted = subprocess.run(generator, cwd=ROOT, capture_output=True, text=True, check=True)

    assert command(installed, "alertmanager", f"--format={form}", *chosen, cwd=tmp_path).stdout == wanted.stdout


def test_an_invalid_channel_is_rejected(installed: Path, tmp_path: Path) -> None:
    done = command(installed, "alertmanager", "--critical-channel=no channel", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a Slack channel" in done.stderr


def test_without_the_grpc_extra_the_error_names_the_package(installed: Path, tmp_path: Path) -> None:
    done = command(installed, "collect", "services", "--services.grpc=a=127.0.0.1:1", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("fleet-exporter: services: config: gRPC is not installed; ")


@pytest.mark.parametrize("variables", [{}, {"REDIS_URL": "127.0.0.1:1"}], ids=["nothing configured", "only variables"])
def test_the_installed_command_serves(installed: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    listen = {"FLEET_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0"}
    with exporter(command=[installed / "fleet-exporter"], variables={**listen, **variables}, cwd=tmp_path) as running:
        assert "fleet_exporter_build_info" in httpx.get(f"{running.url}/metrics", trust_env=False).text
        assert running.stop() == 0


def test_the_installed_command_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    shown = "import exporter; print(exporter.__file__)"
    place = subprocess.run([installed / "python", "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert Path(place.stdout).is_relative_to(installed.parent)
    assert command(installed, "--version", cwd=tmp_path).stdout.startswith("fleet-exporter ")
    metrics = command(installed, "metrics", cwd=tmp_path).stdout  # imports every source
    assert metrics == (ROOT / "docs/metrics.md").read_text()


def test_dashboards_are_written_one_file_each(installed: Path, tmp_path: Path) -> None:
    done = command(installed, "dashboards", "--out", "deep/folder", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "")
    written = {file.name: file.read_bytes() for file in (tmp_path / "deep/folder").iterdir()}
    assert written == {file.name: file.read_bytes() for file in (GENERATED / "dashboards").glob("*.json")}
    assert all(f"{json.loads(text)['uid']}.json" == name for name, text in written.items())
    assert done.stderr == f"{len(written)} dashboards written to deep/folder\n"


def test_dashboards_are_written_for_a_site_without_loki(installed: Path, tmp_path: Path) -> None:
    command(installed, "dashboards", "--out", tmp_path / "with", cwd=tmp_path)
    command(installed, "dashboards", "--without-loki", "--out", tmp_path / "without", cwd=tmp_path)

    written = {kind: {file.name: file.read_text() for file in (tmp_path / kind).iterdir()} for kind in ("with", "without")}
    assert written["with"].keys() == written["without"].keys()
    assert "loki_datasource" in "".join(written["with"].values())
    assert "loki_datasource" not in "".join(written["without"].values())


@pytest.mark.parametrize("form", [(), ("--without-loki",)], ids=["with Loki", "without Loki"])
def test_dashboards_link_to_the_given_exporter_url(installed: Path, tmp_path: Path, form: tuple[str, ...]) -> None:
    address = 'https://fleet.example/"exporter"'
    command(installed, "dashboards", *form, "--out", tmp_path / "plain", cwd=tmp_path)
    command(installed, "dashboards", *form, "--out", tmp_path / "with_url", f"--exporter-url={address}/", cwd=tmp_path)

    plain, with_url = (
        {file.name: json.loads(file.read_text())["templating"]["list"] for file in (tmp_path / folder).iterdir()}
        for folder in ("plain", "with_url")
    )
    boxes = [box for variables in plain.values() for box in variables if box["name"] == "exporter_url"]
    assert {box["query"] for box in boxes} == {EXPORTER_URL}
    for box in boxes:
        box.update(query=address, current={"text": address, "value": address})
    assert with_url == plain


def test_an_invalid_command_line_is_reported_in_one_sentence(installed: Path, tmp_path: Path) -> None:
    done = command(installed, "dashboards", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    wanted = "the following arguments are required: --out; see `fleet-exporter dashboards --help`"
    assert done.stderr == f"fleet-exporter: {wanted}\n"


def test_a_command_after_a_boolean_flag_is_not_its_value(installed: Path, tmp_path: Path) -> None:
    before = command(installed, "--rayjob.in-cluster", "collect", "rayjob", cwd=tmp_path)
    after = command(installed, "collect", "rayjob", "--rayjob.in-cluster", cwd=tmp_path)

    assert before.returncode == after.returncode == 1
    assert before.stderr == after.stderr
    assert before.stderr.startswith("fleet-exporter: rayjob: ")


def test_rules_are_printed_or_written_alike(installed: Path, tmp_path: Path) -> None:
    printed, written = command(installed, "rules", cwd=tmp_path), command(installed, "rules", "--out=r.yaml", cwd=tmp_path)

    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert printed.stdout == (tmp_path / "r.yaml").read_text() == (GENERATED / "alerts.yaml").read_text()


def test_links_use_the_given_urls(installed: Path, tmp_path: Path, promtool: Path) -> None:
    grafana, runbooks = "https://grafana.example/sub", "https://wiki.example/runbooks"
    links = (f"--grafana-url={grafana}/", f"--runbook-url={runbooks}")
    plain, linked = (
        command(installed, "rules", cwd=tmp_path).stdout,
        command(installed, "rules", *links, cwd=tmp_path).stdout,
    )

    assert linked.count(f"{grafana}/d/") == plain.count(f"{GRAFANA_URL}/d/")
    assert linked.count(f"{runbooks}/") == plain.count(f"{RUNBOOK_URL}/")
    assert GRAFANA_URL not in linked
    assert RUNBOOK_URL not in linked
    (tmp_path / "linked.yaml").write_text(linked)
    subprocess.run([promtool, "check", "rules", tmp_path / "linked.yaml"], check=True, capture_output=True)


def test_rules_as_a_prometheusrule(installed: Path, tmp_path: Path) -> None:
    resource = yaml.safe_load(command(installed, "rules", "--format=prometheusrule", cwd=tmp_path).stdout)

    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["metadata"]["name"] == "fleet-exporter"
    assert resource["spec"] == yaml.safe_load((GENERATED / "alerts.yaml").read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ("dashboards", "--out=file/inside"),
        ("rules", "--out=file/inside"),
        ("rules", "--out=."),
        ("rules", "--out=missing/rules.yaml"),
        ("alertmanager", "--out=missing/alertmanager.yaml"),
    ],
)
def test_a_failed_write_is_reported_in_a_sentence(installed: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    (tmp_path / "file").touch()
    done = command(installed, *arguments, cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("fleet-exporter: ")
    assert done.stderr.endswith("; choose another path with --out\n")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_checkout_needs_no_installation_of_the_files(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "exporter", "rules"], cwd=ROOT, capture_output=True, text=True, check=True)
    boards: list[str | Path] = [sys.executable, "-m", "exporter", "dashboards", "--out", tmp_path]
    subprocess.run(boards, cwd=ROOT, check=True, capture_output=True)

    assert done.stdout == (GENERATED / "alerts.yaml").read_text()
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in (GENERATED / "dashboards").glob("*.json")}


def test_an_installation_without_the_files_reports_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if not name.startswith("exporter/generated/")])
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "rules"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"fleet-exporter: {tmp_path}/exporter/generated: no dashboards and rules found; ")
