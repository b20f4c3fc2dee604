"""The Prometheus Operator uses the chart's objects: targets, rules and routes of a Prometheus and an Alertmanager."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import yaml

from servers import prometheus_operator
from servers.cluster import Cluster
from servers.process import wait_for
from tests.e2e.cluster.conftest import NAMESPACE, PORT, RELEASE, ROOT, Release

SELECTOR = {"release": "kube-prometheus-stack"}
"""The label that kube-prometheus-stack's Prometheus selects, as set by the README's command."""


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
                """Writes no access log."""

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
    copied = "targetLabels={app.kubernetes.io/instance}", "podTargetLabels={fleet-exporter/shard}"
    monitor = [f"serviceMonitor.{setting}" for setting in ("interval=5s", "scrapeTimeout=5s", *copied)]
    release.upgrade("alertmanagerConfig.enabled=true", "alertmanagerConfig.heartbeat=true", labels, *monitor)


@pytest.fixture
def prometheus(node: Cluster, monitoring: None) -> str:
    return f"http://{pod_address(node, 'prometheus-fleet-0')}:9090"


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
        response = httpx.get(url, params=parameters, timeout=10, trust_env=False)
    except httpx.HTTPError:
        return None
    return response.json() if response.is_success else None


Target = dict[str, Any]


def targets(prometheus: str) -> list[Target]:
    """Active targets of the exporter's ServiceMonitors, as Prometheus' API has them."""
    found = get(f"{prometheus}/api/v1/targets", state="active")
    pools = f"serviceMonitor/{NAMESPACE}/{RELEASE}/"
    return [each for each in found["data"]["activeTargets"] if each["scrapePool"].startswith(pools)] if found else []


def wait_up(prometheus: str, release: Release) -> list[Target]:
    """The targets, once they are exactly the release's pods and all are up.

    The operator's config-reloader notices the first change of a mounted Secret at once, and later ones within 3 minutes.
    """
    urls = {f"http://{pod['status']['podIP']}:{PORT}/metrics" for pod in release.pods()}

    def up() -> bool:
        return {each["scrapeUrl"] for each in targets(prometheus) if each["health"] == "up"} == urls

    wait_for(
        lambda: up() and len(targets(prometheus)) == len(urls), what="every pod to be a target that is up", deadline=180
    )
    return targets(prometheus)


def query(prometheus: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of an instant query."""
    found = get(f"{prometheus}/api/v1/query", query=expression)
    return [(each["metric"], float(each["value"][1])) for each in found["data"]["result"]] if found else []


def test_every_pod_is_a_target_that_is_up(prometheus: str, release: Release) -> None:
    release.upgrade("shards=2")
    found = wait_up(prometheus, release)
    instances = {each["labels"]["instance"] for each in found}

    assert len(instances) == 2
    assert {each["labels"]["job"] for each in found} == {"fleet-exporter"}
    source_up = 'fleet_exporter_source_up{job="fleet-exporter", source="jetstream"}'

    def reading() -> set[str]:
        return {labels["instance"] for labels, value in query(prometheus, source_up) if value == 1}

    wait_for(lambda: reading() >= instances, what=source_up, deadline=60)
    release.upgrade("shards=1")
    wait_up(prometheus, release)


def test_labels_of_the_service_and_of_the_pod_are_labels_of_the_target(prometheus: str, release: Release) -> None:
    (target,) = wait_up(prometheus, release)
    copied = {"app_kubernetes_io_instance": RELEASE, "fleet_exporter_shard": "0"}

    assert copied.items() <= target["labels"].items()
    labels = ", ".join(f'{name}="{value}"' for name, value in copied.items())
    wait_for(lambda: bool(query(prometheus, f"fleet_exporter_source_up{{{labels}}}")), what=labels, deadline=60)


def test_the_operator_selects_a_service_monitor_by_its_additional_labels(
    node: Cluster, prometheus: str, release: Release
) -> None:
    """Seen in the configuration that it writes: Prometheus takes minutes to load a second change."""

    def jobs() -> list[str]:
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/prometheus-fleet"
        packed = node.api.request("GET", path)[1]["data"]["prometheus.yaml.gz"]
        found = yaml.safe_load(gzip.decompress(base64.b64decode(packed)))
        return [each["job_name"] for each in found.get("scrape_configs") or []]

    job = f"serviceMonitor/{NAMESPACE}/{RELEASE}/0"
    assert job in jobs()
    release.upgrade("serviceMonitor.additionalLabels.release=another")
    wait_for(lambda: job not in jobs(), what="the job to be removed", deadline=60)
    release.upgrade(f"serviceMonitor.additionalLabels.release={SELECTOR['release']}")
    wait_for(lambda: job in jobs(), what="the job to return", deadline=60)


def test_prometheus_evaluates_the_rules(prometheus: str) -> None:
    expected = yaml.safe_load((ROOT / "deploy/helm/files/alerts.yaml").read_text())["groups"]
    names = {group["name"]: [rule.get("alert") or rule["record"] for rule in group["rules"]] for group in expected}

    def rules() -> dict[str, list[dict[str, Any]]]:
        found = get(f"{prometheus}/api/v1/rules")
        return {group["name"]: group["rules"] for group in found["data"]["groups"]} if found else {}

    def evaluated() -> bool:
        return all(rule["health"] != "unknown" for group in rules().values() for rule in group)

    wait_for(lambda: rules().keys() == names.keys() and evaluated(), what="the rules to be evaluated", deadline=120)
    loaded = rules()

    assert {group: [rule["name"] for rule in loaded[group]] for group in loaded} == names
    assert {rule["health"] for group in loaded.values() for rule in group} == {"ok"}
    assert query(prometheus, 'ALERTS{alertname="Watchdog", alertstate="firing"}')


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


def test_an_alert_of_prometheus_arrives_at_its_receiver(alertmanager: str, receiver: Receiver) -> None:
    """The Watchdog of the chart's rules, which always fires, at the chart's dead man's switch."""

    def heartbeats() -> list[Any]:
        return [body for path, body in receiver.received if path == "/heartbeat-url"]

    wait_for(lambda: bool(heartbeats()), what="the heartbeat", deadline=180)

    assert heartbeats()[0]["commonLabels"]["alertname"] == "Watchdog"
    assert heartbeats()[0]["commonLabels"]["product"] == "fleet-exporter"
    assert heartbeats()[0]["status"] == "firing"
