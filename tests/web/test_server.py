"""The exporter's HTTP side, over real sockets."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from servers.valkey import RunningValkey
from tests.support.process import Exporter, exporter


@pytest.fixture(scope="module")
def running(valkey_server: RunningValkey) -> Iterator[Exporter]:
    with exporter(variables={"REDIS_URL": valkey_server.url}) as process:
        yield process


def test_the_page_in_text(running: Exporter) -> None:
    response = httpx.get(f"{running.url}/metrics")

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["content-encoding"] == "gzip"
    assert 'fleet_exporter_source_up{source="valkey"' in response.text
    assert "process_resident_memory_bytes" in response.text


def test_the_page_in_openmetrics(running: Exporter) -> None:
    response = httpx.get(f"{running.url}/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})

    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert len(list(text_string_to_metric_families(response.text))) > 60  # type: ignore[no-untyped-call]  # prometheus_client does not annotate it


def test_promtool_accepts_the_whole_page(running: Exporter, promtool: Path) -> None:
    page = httpx.get(f"{running.url}/metrics").content
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_compression_follows_accept_encoding(running: Exporter) -> None:
    plain = httpx.get(f"{running.url}/metrics", headers={"accept-encoding": "identity"})
    refused = httpx.get(f"{running.url}/metrics", headers={"accept-encoding": "gzip;q=0"})

    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers


def test_name_filter(running: Exporter) -> None:
    page = httpx.get(f"{running.url}/metrics", params={"name[]": ["valkey_memory_used_bytes", "valkey_role"]}).text

    assert set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)) == {"valkey_memory_used_bytes", "valkey_role"}


def test_health_and_readiness(running: Exporter) -> None:
    httpx.get(f"{running.url}/metrics")

    assert httpx.get(f"{running.url}/-/healthy").status_code == 200
    assert httpx.get(f"{running.url}/-/ready").status_code == 200
    assert httpx.get(f"{running.url}/nowhere").status_code == 404


def test_the_landing_page_shows_every_source(running: Exporter, valkey_server: RunningValkey) -> None:
    httpx.get(f"{running.url}/metrics")
    page = httpx.get(running.url).text

    assert "● up" in page
    assert f"127.0.0.1:{valkey_server.port}" in page
    assert "http://" not in page  # nothing is fetched from elsewhere


def test_a_failed_source_is_reported_on_both_pages_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with exporter(variables={"REDIS_URL": f"redis://:hunter2@127.0.0.1:{port}"}) as process:
        page = httpx.get(f"{process.url}/metrics").text
        landing = httpx.get(process.url).text
        code = process.stop()
        log = process.process.stderr.read() if process.process.stderr else ""

    assert re.search(r'failure\{source="valkey",server="127.0.0.1:\d+",reason="unreachable"} 1', page)
    assert "down: unreachable" in landing
    assert code == 0
    assert log.count("source is down") == 1
    assert "hunter2" not in page + landing + log
    assert "Traceback" not in log


def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "exporter", f"--web.listen-address={address}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"fleet-exporter: --web.listen-address {address}: Address already in use; choose another with --web.listen-address"
    )


def test_basic_authentication_protects_every_path(tmp_path: Path) -> None:
    stored = bcrypt.hashpw(b"right", bcrypt.gensalt(rounds=4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  operator: {stored}\nhttp_server_config:\n  headers:\n    X-Frame-Options: deny\n")
    with exporter(f"--web.config.file={file}") as process:
        accepted = httpx.get(f"{process.url}/metrics", auth=("operator", "right"))
        refused = [
            httpx.get(f"{process.url}{path}", auth=auth).status_code
            for path in ("/", "/metrics", "/-/healthy")
            for auth in (None, ("operator", "wrong"), ("nobody", "right"))
        ]
        file.write_text("basic_auth_users: {}\n")
        opened = httpx.get(f"{process.url}/metrics").status_code

    assert accepted.status_code == 200
    assert accepted.headers["x-frame-options"] == "deny"
    assert set(refused) == {401}
    assert opened == 200


def test_tls_and_client_certificates(certificates: Path) -> None:
    file = certificates / "web.yml"
    file.write_text(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: client.crt\n"
        "  client_auth_type: RequireAndVerifyClientCert\n"
    )
    known = ssl.create_default_context(cafile=str(certificates / "server.crt"))
    known.load_cert_chain(certificates / "client.crt", certificates / "client.key")
    unknown = ssl.create_default_context(cafile=str(certificates / "server.crt"))
    with exporter(f"--web.config.file={file}") as process:
        assert process.url.startswith("https://")
        assert httpx.get(f"{process.url}/metrics", verify=known).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{process.url}/metrics", verify=unknown)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("tls_server_config: {cert_file: a.crt, key_file: a.key}", "cannot be used for TLS"),
        ("basic_auth_userz: {}", "basic_auth_userz"),
        (
            "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: x}",
            "client_auth_type is NoClientCert",
        ),
        ("a: [", "not YAML"),
    ],
)
def test_an_invalid_web_configuration_is_reported_in_one_sentence(certificates: Path, content: str, words: str) -> None:
    file = certificates / "bad.yml"
    file.write_text(content)
    command = [sys.executable, "-m", "exporter", f"--web.config.file={file}", "--web.listen-address=127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
