"""What reads the exporter: Prometheus with hurried rules, Alertmanager, a receiver in Slack's place, Grafana if there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alerts.alertmanager
from alerts.alertmanager.configuration import as_yaml, configuration
from alerts.alertmanager.options import Options, Secret
from demo.slack import receiver
from demo.stack.fast_rules import EVALUATION_SECONDS, PACES, SCRAPE_SECONDS, hurried
from demo.stack.running import Demo, Servers, entered, wished_port
from exporter.urls import GRAFANA_URL
from servers import grafana, prometheus
from servers.cache import ServerMissing
from servers.process import ServerFailed

_FILES = Path(__file__).parents[2] / "deploy/helm/files"
_RESENT_SECONDS = 5
_PROMETHEUS_PORT, _ALERTMANAGER_PORT, _SLACK_PORT, _GRAFANA_PORT = 9090, 9093, 9094, 3000


@dataclass(frozen=True)
class Monitoring:
    """The addresses, and the configuration of the Alertmanager that joins later; `grafana` is None where there is none."""

    prometheus: str
    alertmanager_port: int
    alertmanager_config: str
    slack: str
    grafana: str | None

    @property
    def alertmanager(self) -> str:
        return _local(self.alertmanager_port)


def alertmanager_options(receiver: receiver.SlackReceiver, folder: Path) -> Options:
    """The production tree, pointed to the receiver by its secrets, which are written to `folder`, and told to hurry."""
    hooks = {
        Secret.CRITICAL: receiver.webhook("critical"),
        Secret.WARNING: receiver.webhook("warnings"),
        Secret.HEARTBEAT: receiver.heartbeat_url,
    }
    for secret, url in hooks.items():
        file = folder / secret
        file.touch(mode=0o600)
        file.write_text(url)
    templates = str(Path(alerts.alertmanager.__file__).parent)
    return Options(secrets=str(folder), templates=templates, preview=True, paces=PACES)


def prometheus_configuration(exporter: str, rules: Path, alertmanager: str) -> dict[str, Any]:
    """prometheus.yml for one exporter and one Alertmanager, each given as host:port."""
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{EVALUATION_SECONDS}s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{"job_name": "fleet-exporter", "static_configs": [{"targets": [exporter]}]}],
    }


async def monitored(demo: Demo, stack: Servers, folder: Path, *, exporter: str, loki: str) -> Monitoring:
    """Start all but Alertmanager, which may have to be built first; nobody misses it until then."""
    slack = await entered(stack, receiver.start(port=wished_port(_SLACK_PORT)))
    told_at, shown_at = wished_port(_ALERTMANAGER_PORT), wished_port(_GRAFANA_PORT)
    rules = folder / "alerts.yaml"
    rules.write_text(hurried((_FILES / "alerts.yaml").read_text()).replace(GRAFANA_URL, _local(shown_at)))
    config = prometheus_configuration(exporter.removeprefix("http://"), rules, f"127.0.0.1:{told_at}")
    again = f"--rules.alert.resend-delay={_RESENT_SECONDS}s"  # for an Alertmanager that was not there at first
    port = wished_port(_PROMETHEUS_PORT)
    monitor = await entered(stack, prometheus.start(config=json.dumps(config), port=port, args=[again]))
    tree = as_yaml(configuration(alertmanager_options(slack, folder)))
    sources = grafana.data_sources(prometheus=monitor.url, loki=loki, alertmanager=_local(told_at), interval=SCRAPE_SECONDS)
    shown = await _grafana(demo, stack, sources, shown_at)
    return Monitoring(monitor.url, told_at, tree, slack.url, shown)


async def _grafana(demo: Demo, stack: Servers, sources: dict[str, Any], port: int) -> str | None:
    """The address of a Grafana with the dashboards, or None where the machine has none or it does not start."""
    try:
        grafana.prepare()
    except ServerMissing:
        return None
    try:
        boards = grafana.dashboards(_FILES / "dashboards")
        server = await entered(stack, grafana.start(sources=sources, boards=boards, port=port))
    except ServerFailed as failed:
        demo.say(f"Without Grafana: {failed}")
        return None
    return server.url


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"
