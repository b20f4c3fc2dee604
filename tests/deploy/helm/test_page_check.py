"""The script of the `helm test` pod, run by this Python against a real exporter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from servers.process import free_port
from tests.deploy.helm.conftest import Render, only
from tests.support.process import exporter


def run_by(render: Render, page: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """The pod's own command line, with another page's URL."""
    container = only(render(values), "Pod")["spec"]["containers"][0]
    assert container["command"] == ["python", "-c"]
    script, url, *rest = container["args"]
    assert url.endswith("://fleet-exporter.monitoring.svc:9847/metrics")
    command = [sys.executable, "-I", "-c", script, page, *rest]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_metrics_pass_and_anything_else_is_one_sentence(render: Render) -> None:
    with exporter() as running:
        page = run_by(render, f"{running.url}/metrics", {})
        other = run_by(render, f"{running.url}/-/healthy", {})
        missing = run_by(render, f"{running.url}/absent", {})
    refused = run_by(render, f"http://127.0.0.1:{free_port()}/metrics", {})

    assert (page.returncode, page.stderr) == (0, "")
    assert (other.returncode, "expected metrics of fleet-exporter" in other.stderr) == (1, True)
    assert (missing.returncode, "got 404" in missing.stderr) == (1, True)
    assert (refused.returncode, "Connection refused" in refused.stderr) == (1, True)
    assert all(len(done.stderr.splitlines()) == 1 for done in (other, missing, refused))


@pytest.mark.parametrize("closed_by", ["password", "certificate"])
def test_a_request_for_authentication_passes_if_expected(
    render: Render, certificates: Path, tmp_path: Path, closed_by: str
) -> None:
    tls = {"cert_file": str(certificates / "server.crt"), "key_file": str(certificates / "server.key")}
    config: dict[str, Any] = {"tls_server_config": tls}
    if closed_by == "password":
        config["basic_auth_users"] = {"prometheus": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}
    else:
        tls |= {"client_ca_file": str(certificates / "client.crt"), "client_auth_type": "RequireAndVerifyClientCert"}
    file = tmp_path / "web.yml"
    file.write_text(yaml.safe_dump(config))
    web = {"existingSecret": "web", "scheme": "https"}
    with exporter(f"--web.config.file={file}") as running:
        expected = run_by(render, f"{running.url}/metrics", {"web": {**web, "authenticated": True}})
        surprised = run_by(render, f"{running.url}/metrics", {"web": web})

    assert (expected.returncode, expected.stderr) == (0, "")
    assert surprised.returncode == 1


def test_metrics_over_tls_pass(render: Render, certificates: Path, tmp_path: Path) -> None:
    tls = {"cert_file": str(certificates / "server.crt"), "key_file": str(certificates / "server.key")}
    file = tmp_path / "web.yml"
    file.write_text(yaml.safe_dump({"tls_server_config": tls}))
    with exporter(f"--web.config.file={file}") as running:
        done = run_by(render, f"{running.url}/metrics", {"web": {"existingSecret": "web", "scheme": "https"}})

    assert (done.returncode, done.stderr) == (0, "")
