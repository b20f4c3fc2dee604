"""The Compose stack without Docker: its own tools read each file, and the simulated fleet runs on real servers."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from exporter.settings import options
from servers import alertmanager, loki
from servers import nats as nats_servers
from servers.neo4j import RunningNeo4j
from servers.process import wait_for
from servers.valkey import RunningValkey
from tests.support.process import exporter
from tests.support.servers import required

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
DOCKERFILE = ROOT / "Dockerfile"
LISTENS_NOWHERE = {"fleet"}
CANNOT_ASK_ITSELF = {"loki"}
ASKED_BY_ITS_IMAGE = {"exporter"}


def compose(flag: str, *, passwords: Path) -> subprocess.CompletedProcess[str]:
    """`docker compose config`, which needs no Docker."""
    files: list[str | Path] = ["--file", COMPOSE / "compose.yaml", "--env-file", passwords]
    command = [Path(sys.executable).with_name("docker-compose"), *files, "config", flag]
    return subprocess.run(command, env={}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The stack as Compose understands it; it has no complaint."""
    done = compose("--format=json", passwords=COMPOSE / ".env.example")
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def mounts(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Bind mounts by their place in the container."""
    return {mount["target"]: mount for mount in service.get("volumes", ()) if mount["type"] == "bind"}


def test_missing_passwords_are_reported_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    done = compose("-q", passwords=tmp_path / "empty")

    assert done.returncode != 0
    assert "copy .env.example to .env" in done.stderr


def test_every_variable_is_in_the_example_and_passwords_only_there() -> None:
    lines = (COMPOSE / ".env.example").read_text().splitlines()
    example = dict(line.removeprefix("#").split("=") for line in lines if "=" in line)
    text = (COMPOSE / "compose.yaml").read_text()

    assert set(re.findall(r"\$\{(\w+)", text)) == set(example)
    assert all(example[name] == default for name, default in re.findall(r"\$\{(\w+):-(\d+)\}", text))
    assert not re.search(r"PASSWORD: (?!\$\{)", text)
    assert ".env" in (COMPOSE / ".gitignore").read_text().split()


def test_every_image_is_pinned_or_built_here(stack: dict[str, Any]) -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    for service in stack["services"].values():
        if "build" in service:
            assert Path(service["build"]["context"]) == ROOT
            assert service["build"]["target"] in stages
        else:
            assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+(-\w+)?", service["image"])


def test_mounted_files_exist_and_are_read_only(stack: dict[str, Any]) -> None:
    bound = [mount for service in stack["services"].values() for mount in mounts(service).values()]

    assert len(bound) > 5
    for mount in bound:
        assert Path(mount["source"]).exists()
        assert mount["read_only"] is True


def test_ports_are_published_on_loopback_only(stack: dict[str, Any]) -> None:
    ports = [port for service in stack["services"].values() for port in service.get("ports", ())]

    assert len(ports) == 4
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_every_service_has_a_health_check(stack: dict[str, Any]) -> None:
    asked = {name for name, service in stack["services"].items() if service.get("healthcheck", {}).get("test")}

    assert stack["services"].keys() - asked == LISTENS_NOWHERE | CANNOT_ASK_ITSELF | ASKED_BY_ITS_IMAGE
    assert "HEALTHCHECK" in DOCKERFILE.read_text()
    waited_for = {name for service in stack["services"].values() for name in service.get("depends_on", {})}
    assert waited_for <= asked


def test_built_containers_have_no_privileges(stack: dict[str, Any]) -> None:
    for name in ("exporter", "fleet"):
        service = stack["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_exporters_variables_are_options(stack: dict[str, Any]) -> None:
    known = {option.variable for option in options()} | {option.well_known_variable for option in options()}

    assert stack["services"]["exporter"]["environment"].keys() <= known


def test_prometheus_accepts_its_configuration_and_the_rules(stack: dict[str, Any], promtool: Path, tmp_path: Path) -> None:
    for target, mount in mounts(stack["services"]["prometheus"]).items():
        place = tmp_path / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mount["source"], place)
    config = tmp_path / "etc/prometheus/prometheus.yml"
    done = subprocess.run([promtool, "check", "config", config], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in yaml.safe_load(config.read_text())["scrape_configs"]
    }
    assert jobs["fleet-exporter"] == ["exporter:9847"]


def test_alertmanager_finds_its_templates_where_they_are_mounted(stack: dict[str, Any], tmp_path: Path) -> None:
    with required():
        amtool = alertmanager.amtool()
    bound = mounts(stack["services"]["alertmanager"])
    text = Path(bound["/etc/alertmanager/alertmanager.yml"]["source"]).read_text()
    config = yaml.safe_load(text)
    secrets = set(re.findall(r"\b(?:api_)?url_file: (\S+)", text))

    assert set(config["templates"]) <= bound.keys()
    assert {str(Path(secret).parent) for secret in secrets} <= bound.keys()
    named = {path.name for path in map(Path, secrets)}
    assert all(f"`secrets/{name}`" in (COMPOSE / "README.md").read_text() for name in named)
    for template in config["templates"]:
        copy = tmp_path / Path(template).name
        copy.write_bytes(Path(bound[template]["source"]).read_bytes())
        text = text.replace(template, str(copy))
    (tmp_path / "alertmanager.yml").write_text(text)
    done = subprocess.run(
        [amtool, "check-config", tmp_path / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_loki_accepts_its_configuration() -> None:
    with required():
        binary = loki.prepare()
    done = subprocess.run(
        [binary, "-verify-config", f"-config.file={COMPOSE / 'loki.yaml'}"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_grafana_has_the_data_sources_and_each_dashboard_once(stack: dict[str, Any]) -> None:
    bound = mounts(stack["services"]["grafana"])
    sources = yaml.safe_load(Path(bound["/etc/grafana/provisioning/datasources/fleet.yaml"]["source"]).read_text())
    (provider,) = yaml.safe_load(Path(bound["/etc/grafana/provisioning/dashboards/fleet.yaml"]["source"]).read_text())[
        "providers"
    ]
    place = provider["options"]["path"]
    folder = Path(bound[place]["source"])
    hidden = {folder / Path(path).relative_to(place) for path in stack["services"]["grafana"]["tmpfs"]}
    shown = [path for path in folder.rglob("*.json") if not hidden & set(path.parents)]
    uids = [json.loads(path.read_text())["uid"] for path in shown]

    assert {source["uid"]: source["type"] for source in sources["datasources"]} == {
        "prometheus": "prometheus", "loki": "loki", "alertmanager": "alertmanager",
    }  # fmt: skip
    assert all(path.is_dir() for path in hidden)
    assert len(uids) == len(set(uids)) > 1
    home = stack["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert folder / Path(home).relative_to(place) in shown


def test_the_simulated_fleet_changes_the_exported_metrics(valkey_server: RunningValkey, neo4j_server: RunningNeo4j) -> None:
    with nats_servers.start() as bus:
        variables = {
            "NATS_URL": bus.url,
            "REDIS_URL": valkey_server.url,
            "NEO4J_URI": neo4j_server.url,
            "NEO4J_PASSWORD": neo4j_server.password,
        }
        fleet = subprocess.Popen(
            [sys.executable, "-m", "demo.simulate", "--pause=0.01"],
            cwd=ROOT,
            env=variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        wanted = (
            "fleet_agents{",
            "nats_consumer_lag{",
            'neo4j_label_nodes{database="neo4j",label="TaskDispatch"',
            "fleet_stories{",
        )
        try:
            with exporter(
                variables={**variables, "FLEET_EXPORTER_VALKEY_COLLECTION_KEYS": "planning:stories:all"}
            ) as process:

                def moves() -> bool:
                    page = httpx.get(f"{process.url}/metrics", timeout=30).text
                    return all(part in page for part in wanted)

                wait_for(moves, what="the fleet to move")
        finally:
            fleet.send_signal(signal.SIGTERM)
            _, said = fleet.communicate(timeout=20)
    assert (fleet.returncode, said) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "NATS: expected an address; set --nats-url or NATS_URL"),
        (["--break=pod"], "pod needs more than NATS: use `make demo`"),
        (["--break=typo"], "unknown fault 'typo': expected one of agent"),
    ],
)
def test_an_invalid_argument_is_reported_in_one_sentence(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.simulate", *arguments], cwd=ROOT, env={}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
