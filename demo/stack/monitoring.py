"""The monitoring stack: Prometheus with fast rules, Alertmanager, a stand-in for Slack, and Grafana if installed."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import alerts.alertmanager
from alerts.alertmanager.configuration import as_yaml, configuration
from alerts.alertmanager.options import Secret, SiteOptions
from demo.slack import receiver
from demo.stack import documentation, soak
from demo.stack.fast_rules import EVALUATION_SECONDS, PACES, SCRAPE_SECONDS, faster
from demo.stack.state import Demo, sentence
from demo.stack.threads import RunningServers
from exporter.config.urls import GRAFANA_URL, RUNBOOK_URL
from servers import grafana, prometheus
from servers.cache import ServerMissing
from servers.process import ServerFailed

_FILES = Path(__file__).parents[2] / "deploy/helm/files"
_RESENT_SECONDS = 5
_PROMETHEUS_PORT, _ALERTMANAGER_PORT, _SLACK_PORT, _DOCUMENTATION_PORT, _GRAFANA_PORT = 9090, 9093, 9094, 9095, 3000


@dataclass
class Monitoring:
    """The running readers, and the configuration of the Alertmanager that joins later; `grafana` is None without one."""

    prometheus: prometheus.Prometheus
    exporter: str
    rules: Path
    alertmanager_port: int
    alertmanager_config: str
    slack: str
    documentation: str
    grafana: str | None
    scrape_seconds: int
    _admitted: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_faster(self) -> bool:
        """Whether the rules are faster than in production."""
        return self.scrape_seconds == SCRAPE_SECONDS

    @property
    def alertmanager(self) -> str:
        return _local(self.alertmanager_port)

    def admit(self, sources: Collection[str], starting: Collection[str]) -> None:
        """Let Prometheus scrape these sources from now on; a source that is still `starting` must not fire an alert."""
        if not self._admitted >= (admitted := self._admitted | set(sources)):
            self._admitted = admitted
            target = f"127.0.0.1:{self.alertmanager_port}"
            hidden = set(starting) - admitted
            config = prometheus_configuration(self.exporter, self.rules, target, hidden, scrape_seconds=self.scrape_seconds)
            self.prometheus.reload(json.dumps(config))


def alertmanager_options(receiver: receiver.SlackReceiver, folder: Path) -> SiteOptions:
    """The production routes with short intervals; the secrets, written to `folder`, point to the receiver."""
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
    return SiteOptions(secrets=str(folder), templates=templates, preview=True, paces=PACES)


def prometheus_configuration(
    exporter: str,
    rules: Path,
    alertmanager: str,
    hidden: Collection[str] = (),
    *,
    scrape_seconds: int = SCRAPE_SECONDS,
) -> dict[str, Any]:
    """prometheus.yml for one exporter and one Alertmanager, each given as host:port, without the sources `hidden`."""
    drop = {"source_labels": ["source"], "regex": "|".join(sorted(hidden)), "action": "drop"}
    job = {
        "job_name": "fleet-exporter",
        "static_configs": [{"targets": [exporter]}],
        "metric_relabel_configs": [drop] if hidden else [],
    }
    return {
        "global": {"scrape_interval": f"{scrape_seconds}s", "evaluation_interval": f"{EVALUATION_SECONDS}s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [job],
    }


async def monitored(
    demo: Demo, stack: RunningServers, folder: Path, *, exporter: str, loki: str, hidden: Collection[str]
) -> Monitoring:
    """Start all but Alertmanager, which may have to be built first. Sources `hidden` are admitted later."""
    slack = await stack.start(receiver.start(port=demo.port("the Slack page", _SLACK_PORT)))
    pages = await stack.start(documentation.start(demo.port("the documentation", _DOCUMENTATION_PORT)))
    alertmanager_port = demo.port("Alertmanager", _ALERTMANAGER_PORT)
    grafana_port = demo.port("Grafana", _GRAFANA_PORT) if _has_grafana() else None
    loki_and_alertmanager = {"loki": loki, "alertmanager": _local(alertmanager_port)}
    rules = folder / "alerts.yaml"
    text = (_FILES / "alerts.yaml").read_text()
    scrape_seconds = SCRAPE_SECONDS
    if demo.soak_minutes is None:
        text = faster(text)
    else:
        scrape_seconds = soak.SCRAPE_SECONDS
    grafana_url = _local(grafana_port) if grafana_port else pages
    rules.write_text(text.replace(GRAFANA_URL, grafana_url).replace(RUNBOOK_URL, f"{pages}/runbooks"))
    target = exporter.removeprefix("http://")
    config = prometheus_configuration(target, rules, f"127.0.0.1:{alertmanager_port}", hidden, scrape_seconds=scrape_seconds)
    resend = f"--rules.alert.resend-delay={_RESENT_SECONDS}s"  # for an Alertmanager that was not up at first
    port = demo.port("Prometheus", _PROMETHEUS_PORT)
    monitor = await stack.start(prometheus.start(config=json.dumps(config), port=port, args=[resend]))
    tree = as_yaml(configuration(alertmanager_options(slack, folder)))
    shown = None
    if grafana_port:
        sources = grafana.data_sources(prometheus=monitor.url, interval=SCRAPE_SECONDS, **loki_and_alertmanager)
        shown = await _grafana(demo, stack, sources, grafana_port)
    return Monitoring(monitor, target, rules, alertmanager_port, tree, slack.url, pages, shown, scrape_seconds)


def _has_grafana() -> bool:
    try:
        grafana.prepare()
    except ServerMissing:
        return False
    return True


async def _grafana(demo: Demo, stack: RunningServers, sources: dict[str, Any], port: int) -> str | None:
    """The address of a Grafana with the dashboards, or None when it does not start."""
    boards = grafana.dashboards(_FILES / "dashboards")
    try:
        server = await stack.start(grafana.start(sources=sources, boards=boards, port=port))
    except ServerFailed as failed:
        demo.say(f"Without Grafana: {sentence(failed)}")
        return None
    return server.url


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"
