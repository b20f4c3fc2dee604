"""The Dockerfile without Docker: hadolint, what it copies and pins, and the health check that the image runs."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import __version__
from exporter.config.web import Web
from exporter.settings import load
from exporter.web.health import Unhealthy, check
from tests.support.pages import listener
from tests.support.process import exporter

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def of(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def test_hadolint_accepts_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold=ignore", DOCKERFILE], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_every_stage_uses_one_pinned_image_and_the_last_runs_the_exporter() -> None:
    stages = [re.fullmatch(r"(\S+) AS (\S+)", rest) for rest in of("FROM")]
    named = [(stage[1], stage[2]) for stage in stages if stage]

    assert len(named) == len(stages)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", named[0][0])
    assert {image for image, _ in named[1:]} <= {name for _, name in named}
    assert named[-1] == ("runtime", "exporter")


def test_copied_files_exist_and_nothing_else_is_in_the_build_context() -> None:
    sources = {
        path
        for rest in of("COPY")
        if not rest.startswith("--from")
        for path in rest.split()[:-1]
    }  # fmt: skip
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert all((ROOT / path).exists() for path in sources)
    assert kept == sources
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_it_runs_as_a_numeric_user_without_a_shell() -> None:
    (user,) = of("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    health = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])
    starts = [json.loads(rest) for rest in of("ENTRYPOINT")]

    assert starts[-1] == ["fleet-exporter"]
    assert health == ["fleet-exporter", "health"]
    assert of("EXPOSE") == [str(Web().port)]


def test_the_labels_are_those_of_open_containers() -> None:
    labels = dict(re.findall(r'(\S+)="([^"]*)"', " ".join(of("LABEL"))))

    assert {"title", "description", "source", "licenses", "version", "revision", "created"} <= {
        name.removeprefix("org.opencontainers.image.") for name in labels
    }
    assert labels["org.opencontainers.image.licenses"] in (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r"^VERSION=(\S+)", "\n".join(of("ARG")), re.MULTILINE)
    assert version == __version__


def test_packages_are_installed_by_hash() -> None:
    installs = [line.strip() for rest in of("RUN") for line in rest.split("&&") if " install " in line]

    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


@pytest.mark.parametrize("lock", ["requirements.runtime.lock", "requirements.build.lock"])
def test_the_image_has_the_versions_that_were_tested(lock: str) -> None:
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text()))
    pinned = dict(PIN.findall((ROOT / lock).read_text()))

    assert pinned
    assert pinned.items() <= tested.items()


def test_the_runtime_lock_has_every_package_that_the_exporter_names() -> None:
    named = (ROOT / "pyproject.toml").read_text()
    part = named[named.index("dependencies = [") : named.index("[project.scripts]")]
    packages = {name.lower() for name in re.findall(r'"([A-Za-z0-9-]+)(?:\[[a-z]+\])?[>=]', part)}

    assert {"uvicorn", "grpcio", "protobuf", "nats-py"} <= packages
    assert packages <= dict(PIN.findall((ROOT / "requirements.runtime.lock").read_text())).keys()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", "health", *arguments], capture_output=True, text=True, check=False
    )


def test_health_follows_the_exporter() -> None:
    with exporter() as process:
        address = f"--web.listen-address={process.url.removeprefix('http://')}"
        assert (command(address).returncode, command(address).stderr) == (0, "")
        process.stop()
        gone = command(address)

    assert gone.returncode == 1
    assert gone.stderr.startswith("fleet-exporter: 127.0.0.1:")
    assert "refused" in gone.stderr


@pytest.mark.parametrize("client", ["NoClientCert", "RequireAndVerifyClientCert"])
@pytest.mark.parametrize("password", [False, True])
def test_an_exporter_with_authentication_is_healthy(tmp_path: Path, certificates: Path, client: str, password: bool) -> None:
    tls = {"cert_file": f"{certificates}/server.crt", "key_file": f"{certificates}/server.key", "client_auth_type": client}
    if client != "NoClientCert":
        tls["client_ca_file"] = f"{certificates}/client.crt"
    hashed = "$2b$04$" + "a" * 53
    config = tmp_path / "web.yml"
    config.write_text(json.dumps({"tls_server_config": tls, **({"basic_auth_users": {"u": hashed}} if password else {})}))
    with exporter(f"--web.config.file={config}") as process:
        address = process.url.removeprefix("https://")
        settings = load({"web.listen_address": address, "web.config_file": str(config)}, {})

        check(settings.web)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "returned 503"), (b"+OK\r\n", "+OK")],
)
def test_a_response_of_another_server_is_reported(answer: bytes, said: str) -> None:
    def answers(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with listener(answers) as port, pytest.raises(Unhealthy) as caught:
        check(Web(listen_address=f"127.0.0.1:{port}"))

    assert said in str(caught.value)


@pytest.mark.parametrize("address", [":{}", "0.0.0.0:{}", "[::]:{}", "[::1]:{}", "localhost:{}"])
def test_health_works_with_every_listen_address(address: str) -> None:
    with exporter(f"--web.listen-address={address.format(0)}") as process:
        port = int(process.url.rpartition(":")[2])

        check(Web(listen_address=address.format(port)))
