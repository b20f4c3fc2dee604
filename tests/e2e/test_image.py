"""The image in a real Docker engine, built and started as README.md says."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import nats, vllm
from servers.docker import Engine
from servers.kubernetes import Kubernetes
from servers.neo4j import RunningNeo4j
from servers.process import free_port, wait_for
from servers.valkey import RunningValkey
from tests.e2e.containers import HARDENED, container, served

IMAGE = "fleet-exporter"
PUBLISHED = ("--publish", "127.0.0.1::9847")
ASKED_OFTEN = ("--health-interval", "1s")
MOST_BYTES = 150_000_000
GRACE = 2
SOURCES = ("fleet", "jetstream", "neo4j", "rayjob", "services", "valkey", "vllm", "workloads")

# The first build of the image takes minutes.
pytestmark = [pytest.mark.usefixtures("image"), pytest.mark.timeout(1800)]


def page(address: str, path: str = "/metrics") -> str:
    """A page of a container, as soon as it is served."""
    return served(f"http://{address}{path}").text


def sources_up(text: str) -> dict[str, bool]:
    """Source → whether it is up."""
    found = re.findall(r'^fleet_exporter_source_up\{source="(\w+)".*\} (\d)$', text, re.MULTILINE)
    return {name: value == "1" for name, value in found}


def test_without_arguments_it_serves_its_page(engine: Engine) -> None:
    with container(engine, IMAGE, *PUBLISHED) as started:
        text = page(started.address())
        landing = page(started.address(), "/")

        assert "fleet_exporter_build_info{" in text
        assert sources_up(text) == {}
        assert "<html" in landing
        assert started.stop(GRACE) == 0


@pytest.fixture
def variables(
    valkey_server: RunningValkey, neo4j_server: RunningNeo4j, kubernetes_server: Kubernetes, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Addresses of real servers on the host's loopback; the kubeconfig is in `tmp_path`, to be mounted at /mnt."""
    kubeconfig = tmp_path / "kubeconfig"
    # As cloud providers write it: with the certificate inside.
    content = json.loads(kubernetes_server.kubeconfig.read_text())
    cluster = content["clusters"][0]["cluster"]
    cluster["certificate-authority-data"] = b64encode(Path(cluster.pop("certificate-authority")).read_bytes()).decode()
    kubeconfig.write_text(json.dumps(content))
    tmp_path.chmod(0o755)
    kubeconfig.chmod(0o644)
    with vllm.start() as model_server, nats.start() as bus:
        yield {
            "NATS_URL": bus.url,
            "REDIS_URL": valkey_server.url,
            "NEO4J_URI": neo4j_server.url,
            "NEO4J_PASSWORD": neo4j_server.password,
            "VLLM_URL": model_server.url,
            "FLEET_EXPORTER_RAYJOB_KUBECONFIG": "/mnt/kubeconfig",
            "FLEET_EXPORTER_WORKLOADS_KUBECONFIG": "/mnt/kubeconfig",
            "FLEET_EXPORTER_SERVICES_GRPC": "closed=127.0.0.1:1",
        }


def test_variables_alone_suffice_and_every_client_library_is_present(
    engine: Engine, variables: dict[str, str], tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = [f"--env={name}={value}" for name, value in variables.items()]
    settings += [
        f"--env=FLEET_EXPORTER_WEB_LISTEN_ADDRESS={address}",
        "--network=host",
        f"--volume={tmp_path}:/mnt:ro",  # a folder that is there already: a new mount point would be a change
    ]
    with container(engine, IMAGE, *settings, *HARDENED, *ASKED_OFTEN) as started:
        wait_for(lambda: sources_up(page(address)) == dict.fromkeys(SOURCES, True), what="every source", deadline=60)
        started.wait_for_health()

        assert started.changes() == []
        assert started.stop(GRACE) == 0


def test_a_configuration_file_that_is_mounted(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("valkey:\n  url: [redis://127.0.0.1:1]\nlog:\n  format: json\n")
    file.chmod(0o644)
    mount = f"--volume={file}:/etc/fleet-exporter/config.yaml:ro"
    flag = "--config.file=/etc/fleet-exporter/config.yaml"
    with container(engine, IMAGE, mount, *PUBLISHED, *HARDENED, command=[flag]) as started:
        assert sources_up(page(started.address())) == {"valkey": False}
        assert all(isinstance(json.loads(line), dict) for line in started.logs())


def test_tls_from_a_web_configuration_that_is_mounted(engine: Engine, certificates: Path, tmp_path: Path) -> None:
    for name in ("server.crt", "server.key"):
        shutil.copy(certificates / name, tmp_path)
        (tmp_path / name).chmod(0o644)
    web = {"tls_server_config": {"cert_file": "server.crt", "key_file": "server.key"}}
    (tmp_path / "web.yml").write_text(json.dumps(web))
    tmp_path.chmod(0o755)
    options = [f"--volume={tmp_path}:/etc/web:ro", "--env=FLEET_EXPORTER_WEB_CONFIG_FILE=/etc/web/web.yml"]
    with container(engine, IMAGE, *options, *PUBLISHED, *HARDENED, *ASKED_OFTEN) as started:
        response = served(f"https://{started.address()}/metrics", authority=certificates / "server.crt")
        started.wait_for_health()

        assert "fleet_exporter_build_info{" in response.text
        assert started.stop(GRACE) == 0


def test_a_hardened_container_is_healthy_writes_nothing_and_stops_on_sigterm(engine: Engine) -> None:
    with container(engine, IMAGE, *PUBLISHED, *HARDENED, *ASKED_OFTEN, command=["--log.format=json"]) as started:
        started.wait_for_health()
        text = page(started.address())
        lines = [json.loads(line) for line in started.logs()]

        assert "fleet_exporter_build_info{" in text
        assert started.changes() == []
        assert started.run("id", "-u").strip() == "65532"
        assert any(line["msg"] == "listening" for line in lines)
        assert {"ts", "level", "logger", "msg"} <= set.intersection(*(set(line) for line in lines))
        assert started.stop(GRACE) == 0


def test_a_writable_root_is_not_changed(engine: Engine) -> None:
    with container(engine, IMAGE, *PUBLISHED, *ASKED_OFTEN) as started:
        started.wait_for_health()
        page(started.address())
        page(started.address(), "/docs")

        assert started.changes() == []


def test_logs_go_to_stderr_alone(engine: Engine) -> None:
    with container(engine, IMAGE, *PUBLISHED) as started:
        page(started.address())
        done = engine.attempt("logs", started.id)

    assert done.stdout == ""
    assert "listening" in done.stderr


@pytest.mark.parametrize("command", ["--version", "--help", "metrics", "options", "schema", "rules"])
def test_every_command_that_prints(engine: Engine, command: str) -> None:
    done = engine.attempt("run", "--rm", *HARDENED, IMAGE, command)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_dashboards_are_written_where_a_folder_is_mounted(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    engine.docker("run", "--rm", *HARDENED, f"--volume={tmp_path}:/out", IMAGE, "dashboards", "--out=/out/dashboards")

    assert len(list((tmp_path / "dashboards").glob("*.json"))) == 12


def test_collect_reads_one_source(engine: Engine, valkey_server: RunningValkey) -> None:
    options = ["--rm", "--network=host", f"--env=REDIS_URL={valkey_server.url}", *HARDENED]
    text = engine.docker("run", *options, IMAGE, "collect", "valkey")

    assert "\nvalkey_" in text


def test_an_error_is_one_sentence_and_exit_code_2(engine: Engine) -> None:
    done = engine.attempt("run", "--rm", *HARDENED, "--env=FLEET_EXPORTER_SHARD=4/3", IMAGE)

    assert (done.returncode, done.stdout) == (2, "")
    assert "--shard" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unhealthy_exporter_is_detected(engine: Engine) -> None:
    elsewhere = ["health", "--web.listen-address=127.0.0.1:1"]
    done = engine.attempt("run", "--rm", *HARDENED, IMAGE, *elsewhere)

    assert done.returncode == 1
    assert done.stderr.startswith("fleet-exporter: ")


def test_the_application_layer_is_small(engine: Engine, base_image: str) -> None:
    whole, base = (int(engine.docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (IMAGE, base_image))

    assert 0 < whole - base <= MOST_BYTES


def test_the_image_has_its_labels(engine: Engine) -> None:
    config = json.loads(engine.docker("image", "inspect", "--format", "{{json .Config}}", IMAGE))

    assert config["User"] == "65532:65532"
    assert config["Labels"]["org.opencontainers.image.title"] == "fleet-exporter"
    assert config["ExposedPorts"] == {"9847/tcp": {}}
