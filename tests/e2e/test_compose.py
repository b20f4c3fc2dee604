"""The Compose stack as deploy/compose/README.md starts it, unedited, in a real Docker engine.

Every image but Grafana's is a real server: the original where a registry has it, or else one made here under the same tag.
Grafana is omitted if neither is available, because no package registry has it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from servers import images
from servers.docker import Engine
from servers.process import free_port, wait_for
from tests.e2e.containers import Container
from tests.support.servers import required

ROOT = Path(__file__).parents[2]
PROJECT = "fleet-exporter-test"
LEFT_OUT = {"grafana"}
RECEIVER = """
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        print(self.path, body, flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
http.server.HTTPServer(("", 8080), Receiver).serve_forever()
"""

pytestmark = pytest.mark.timeout(1800)


class Stack:
    """The running stack, with a container in its network that receives notifications and can ask its servers."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.receiver: Container | None = None
        self.ports = {name: free_port() for name in ("exporter", "prometheus", "alertmanager")}

    def url(self, service: str) -> str:
        """The address of a service on this host."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def compose(self, *arguments: str) -> str:
        """What `docker compose ARGUMENTS` writes to stdout. Raises DockerFailed."""
        return self.engine.docker("compose", "--project-name", PROJECT, *arguments, folder=self.folder)

    def received(self, path: str) -> list[dict[str, Any]]:
        """Bodies that were posted to that path of the receiver."""
        assert self.receiver is not None
        lines = (line.partition(" ") for line in self.receiver.logs())
        return [json.loads(body) for sent, _, body in lines if sent == path]

    def asked(self, url: str) -> Any:
        """The JSON that a server of the stack's own network answers."""
        assert self.receiver is not None
        ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
        return json.loads(self.receiver.run("python3", "-c", ask, url))


def got(url: str) -> Any:
    return httpx.get(url, timeout=30, trust_env=False).raise_for_status().json()


@pytest.fixture(scope="module")
def stack(engine: Engine, base_image: str, clone: Path) -> Iterator[Stack]:
    """A fresh clone's stack, started by the commands of the README, with the receiver's addresses as its secrets."""
    folder = clone / "deploy/compose"
    running = Stack(engine, folder)
    ports = "".join(f"{name.upper()}_PORT={port}\n" for name, port in running.ports.items())
    (folder / ".env").write_text((folder / ".env.example").read_text() + ports)
    for name in ("slack-critical-url", "slack-warnings-url", "heartbeat-url"):
        secret = folder / "secrets" / name
        secret.write_text(f"http://receiver:8080/{name}")
        secret.chmod(0o644)
    described = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    started = sorted(described.keys() - LEFT_OUT)
    with required():
        for name in started:
            if "build" not in described[name]:
                images.provide(engine, described[name]["image"], base_image)
    try:
        running.compose("build", "exporter")  # the fleet's image then has its layers
        # Created first, so that the receiver can join the network before Alertmanager sends anything.
        running.compose("up", "--build", "--no-start", *started)
        join = ["run", "--detach", f"--network={PROJECT}_default", "--network-alias=receiver"]
        receiver = engine.docker(*join, base_image, "python3", "-c", RECEIVER).strip()
        running.receiver = Container(engine, receiver)
        running.compose("up", "--build", "--wait", *started)
        yield running
    except Exception as error:
        error.add_note(engine.attempt("compose", "--project-name", PROJECT, "logs", "--tail=20", folder=folder).stdout)
        raise
    finally:
        if running.receiver is not None:
            engine.docker("rm", "-f", running.receiver.id)
        running.compose("down", "--volumes", "--timeout=5")


def test_every_container_runs_and_passes_its_health_check(stack: Stack) -> None:
    lines = [json.loads(line) for line in stack.compose("ps", "--all", "--format=json").splitlines()]
    found = {line["Service"]: (line["State"], line["Health"]) for line in lines}

    assert found.keys() == {"alertmanager", "exporter", "fleet", "loki", "nats", "neo4j", "prometheus", "valkey"}
    assert {state for state, _ in found.values()} == {"running"}
    assert {name for name, (_, health) in found.items() if health != "healthy"} == {"fleet", "loki"}  # they have no check


def test_the_exporter_reads_every_source(stack: Stack) -> None:
    def up() -> bool:
        sources = {}
        for line in httpx.get(f"{stack.url('exporter')}/metrics", timeout=30, trust_env=False).text.splitlines():
            if line.startswith("fleet_exporter_source_up{"):
                sources[line.split('"')[1]] = line.rpartition(" ")[2]
        return len(sources) == 5 and set(sources.values()) == {"1"}

    wait_for(up, what="five sources that are up", deadline=60)


def test_prometheus_scrapes_every_target(stack: Stack) -> None:
    def up() -> bool:
        targets = got(f"{stack.url('prometheus')}/api/v1/targets")["data"]["activeTargets"]
        health = {target["labels"]["job"]: target["health"] for target in targets}
        return health == {"fleet-exporter": "up", "prometheus": "up"}

    wait_for(up, what="every target to be up", deadline=60)


def test_prometheus_has_loaded_every_rule(stack: Stack) -> None:
    groups = yaml.safe_load((ROOT / "deploy/helm/files/alerts.yaml").read_text())["groups"]
    shipped = {rule.get("alert") or rule["record"] for group in groups for rule in group["rules"]}
    loaded = got(f"{stack.url('prometheus')}/api/v1/rules")["data"]["groups"]

    assert {rule["name"] for group in loaded for rule in group["rules"]} == shipped
    assert [rule["name"] for group in loaded for rule in group["rules"] if rule["health"] == "err"] == []


def test_prometheus_sends_to_alertmanager_which_runs_the_shipped_configuration(stack: Stack) -> None:
    shipped = yaml.safe_load((ROOT / "deploy/helm/files/alertmanager.yaml").read_text())
    loaded = yaml.safe_load(got(f"{stack.url('alertmanager')}/api/v2/status")["config"]["original"])

    assert [receiver["name"] for receiver in loaded["receivers"]] == [receiver["name"] for receiver in shipped["receivers"]]
    wait_for(
        lambda: len(got(f"{stack.url('prometheus')}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]) == 1,
        what="Prometheus to know Alertmanager",
    )


def test_an_alert_of_prometheus_reaches_the_receiver(stack: Stack) -> None:
    def delivered() -> bool:
        posted = stack.received("/heartbeat-url")
        return any(alert["labels"]["alertname"] == "Watchdog" for body in posted for alert in body["alerts"])

    wait_for(delivered, what="the Watchdog at the receiver", deadline=120)


def test_a_critical_alert_reaches_slack_in_the_shipped_form(stack: Stack) -> None:
    labels = {"alertname": "NatsDown", "product": "fleet-exporter", "severity": "critical", "component": "nats"}
    alert = {"labels": labels, "annotations": {"summary": "NATS is down", "description": "No connection."}}
    httpx.post(f"{stack.url('alertmanager')}/api/v2/alerts", json=[alert], timeout=30, trust_env=False).raise_for_status()

    def delivered() -> bool:
        return any("NATS is down" in json.dumps(body) for body in stack.received("/slack-critical-url"))

    wait_for(delivered, what="the message at Slack's stand-in", deadline=120)


def test_the_simulated_fleets_events_are_in_loki(stack: Stack) -> None:
    start = int(time.time() - 3600)

    def found() -> bool:
        url = f"http://loki:3100/loki/api/v1/query_range?query=%7Bfamily%3D%22agent%22%7D&limit=10&start={start}"
        return len(stack.asked(url)["data"]["result"]) > 0

    wait_for(found, what="agent events in Loki", deadline=120)


def test_the_fleet_accepts_documented_faults_only(stack: Stack) -> None:
    done = stack.engine.attempt(
        "compose", "--project-name", PROJECT, "run", "--rm", "fleet", "--break=typo", folder=stack.folder
    )

    assert done.returncode == 2
    assert "typo" in done.stderr + done.stdout
