"""The Prometheus operator picks up what the chart makes: a scrape job, rules, and routes of a running Alertmanager."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from servers import prometheus, prometheus_operator
from servers.cluster import Cluster
from servers.process import wait_for
from tests.e2e.cluster.conftest import NAMESPACE, RELEASE, ROOT, Release

SELECTOR = {"release": "kube-prometheus-stack"}
"""What kube-prometheus-stack's Prometheus selects by, and what the README's command sets."""


class Receiver(ThreadingHTTPServer):
    """Webhooks of Slack and of a dead man's switch; `received` holds (path, JSON)."""

    def __init__(self, address: str) -> None:
        received: list[tuple[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((self.path, json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                """Nothing: the test's output is the tests'."""

        super().__init__((address, 0), Handler)
        self.received = received


@pytest.fixture(scope="module")
def receiver(node: Cluster) -> Iterator[Receiver]:
    with Receiver(node.inside.host_address) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def monitoring(node: Cluster, release: Release, receiver: Receiver) -> None:
    """A Prometheus and an Alertmanager by the operator, and the Secret that the chart's AlertmanagerConfig needs."""
    url = f"http://{node.inside.host_address}:{receiver.server_port}"
    keys = ("slack-critical-url", "slack-warnings-url", "heartbeat-url")
    data = {key: base64.b64encode(f"{url}/{key}".encode()).decode() for key in keys}
    meta = {"name": "fleet-alerts", "namespace": NAMESPACE}
    node.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    prometheus_operator.create_monitoring(node, NAMESPACE, selector=SELECTOR)
    labels = "alertmanagerConfig.additionalLabels.release=kube-prometheus-stack"
    release.upgrade("alertmanagerConfig.enabled=true", "alertmanagerConfig.heartbeat=true", labels)


@pytest.fixture
def alertmanager(node: Cluster, monitoring: None) -> str:
    return f"http://{pod_address(node, 'alertmanager-fleet-0')}:9093"


def pod_address(node: Cluster, name: str) -> str:
    status, pod = node.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
    assert status == 200, pod
    return str(pod["status"]["podIP"])


def get(url: str, **parameters: str | float) -> Any:
    """The JSON that a server answers with; None while it does not answer."""
    try:
        reply = httpx.get(url, params=parameters, timeout=10, trust_env=False)
    except httpx.HTTPError:
        return None
    return reply.json() if reply.is_success else None


def written(node: Cluster, kind: str, name: str) -> dict[str, str]:
    """Data of a ConfigMap or Secret that the operator wrote; empty before it did."""
    status, found = node.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/{kind}/{name}")
    return dict(found.get("data") or {}) if status == 200 else {}


def test_the_service_monitor_is_a_scrape_job(node: Cluster, monitoring: None) -> None:
    def jobs() -> dict[str, Any]:
        packed = written(node, "secrets", "prometheus-fleet").get("prometheus.yaml.gz", "")
        text = gzip.decompress(base64.b64decode(packed)) if packed else b"{}"
        return {each["job_name"]: each for each in yaml.safe_load(text).get("scrape_configs") or []}

    name = f"serviceMonitor/{NAMESPACE}/{RELEASE}/0"
    wait_for(lambda: name in jobs(), what="the scrape job", deadline=60)
    job = jobs()[name]

    assert job["honor_labels"] is True
    assert job["metrics_path"] == "/metrics"
    assert {"target_label": "job", "replacement": "fleet-exporter", "action": "replace"} in job["relabel_configs"]
    (discovery,) = job["kubernetes_sd_configs"]
    assert discovery["namespaces"]["names"] == [NAMESPACE]


def test_a_prometheus_loads_the_rules_that_the_operator_wrote(node: Cluster, monitoring: None, tmp_path: Path) -> None:
    wait_for(lambda: bool(written(node, "configmaps", "prometheus-fleet-rulefiles-0")), what="the rules", deadline=60)
    for name, text in written(node, "configmaps", "prometheus-fleet-rulefiles-0").items():
        (tmp_path / name).write_text(text)
    expected = yaml.safe_load((ROOT / "deploy/helm/files/alerts.yaml").read_text())["groups"]
    with prometheus.start(config=json.dumps({"rule_files": [f"{tmp_path}/*.yaml"]})) as server:
        loaded = {group["name"]: group["rules"] for group in get(f"{server.url}/api/v1/rules")["data"]["groups"]}

    assert loaded.keys() == {group["name"] for group in expected}
    for group in expected:
        names = [rule.get("alert") or rule["record"] for rule in group["rules"]]
        assert [rule["name"] for rule in loaded[group["name"]]] == names


def test_the_alertmanager_config_is_an_active_route(alertmanager: str) -> None:
    def configuration() -> dict[str, Any]:
        found = get(f"{alertmanager}/api/v2/status")
        return dict(yaml.safe_load(found["config"]["original"])) if found else {}

    def routes() -> list[dict[str, Any]]:
        return [each for each in configuration().get("route", {}).get("routes", []) if RELEASE in each["receiver"]]

    wait_for(lambda: bool(routes()), what="the route", deadline=120)
    (route,) = routes()

    assert route["matchers"] == ['product="fleet-exporter"']  # of every namespace
    assert {each["receiver"].rpartition("/")[2] for each in route["routes"]} == {
        "fleet-heartbeat", "fleet-slack-critical", "fleet-slack-warnings", "fleet-null",
    }  # fmt: skip


def test_an_alert_arrives_at_its_receiver(alertmanager: str, receiver: Receiver) -> None:
    wait_for(lambda: "fleet-heartbeat" in str(get(f"{alertmanager}/api/v2/receivers")), what="the route", deadline=120)
    watchdog = {"alertname": "Watchdog", "product": "fleet-exporter", "severity": "none"}

    def heartbeats() -> list[Any]:
        httpx.post(f"{alertmanager}/api/v2/alerts", json=[{"labels": watchdog}], timeout=10, trust_env=False)
        return [body for path, body in receiver.received if path == "/heartbeat-url"]

    wait_for(lambda: bool(heartbeats()), what="the heartbeat", deadline=120)

    assert heartbeats()[0]["commonLabels"]["alertname"] == "Watchdog"
    assert heartbeats()[0]["status"] == "firing"
