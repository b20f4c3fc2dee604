"""Alerts as Alertmanager receives them, a running Alertmanager with a receiver, and templates rendered by amtool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from alerts.rules import RULES
from demo.slack import receiver

TEMPLATES = Path(__file__).parents[2] / "alerts/alertmanager"

Labels = Mapping[str, str]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Receiving(NamedTuple):
    """A running Alertmanager with the demo's intervals, and its receivers."""

    url: str
    receiver: receiver.SlackReceiver

    def post(self, *alerts: dict[str, Any]) -> None:
        httpx.post(f"{self.url}/api/v2/alerts", json=alerts, trust_env=False).raise_for_status()

    def state_of(self, **labels: str) -> str:
        found = httpx.get(f"{self.url}/api/v2/alerts", trust_env=False).json()
        return next(str(one["status"]["state"]) for one in found if one["labels"].items() >= labels.items())

    def sent(self, alert: str) -> list[dict[str, Any]]:
        messages = [message.payload for message in self.receiver.messages]
        return [message for message in messages if f" {alert} (" in message["text"]]


def alert(name: str, severity: str | None = None, **labels: str) -> dict[str, Any]:
    """An alert of this project with the labels of its rule and further labels."""
    given = next(rule for rule in RULES if rule.name == name and severity in (None, rule.severity)).document["labels"]
    return {"labels": {"alertname": name, **given, **labels}}


FIRED, ENDED = "2026-01-05T10:00:00Z", "2026-01-05T10:05:03Z"
NEVER = "2100-01-01T00:00:00Z"


def lagging(number: int, *, ended: bool = False, labels: Labels | None = None) -> dict[str, Any]:
    """Alerts of one group; `number` distinguishes the consumers."""
    one = alert("NatsConsumerLagging", stream="CONTEXT", consumer=f"archive-{number}", **(labels or {}))
    words = {
        "summary": "NATS consumer is lagging",
        "description": f"archive-{number} on CONTEXT has {100 + number} undelivered messages.",
        "runbook_url": "https://example.com/runbooks/NatsConsumerLagging.md",
        "dashboard_url": f"https://grafana.example.com/d/fleet-communications?var-stream=CONTEXT&var-consumer=archive-{number}",
    }
    return one | {"annotations": words, "startsAt": FIRED, "endsAt": ENDED if ended else NEVER}


def data(*alerts: dict[str, Any]) -> dict[str, Any]:
    """The template data of Alertmanager for one group."""
    whole = [{"status": "firing", **one} for one in alerts]
    common = {name: dict(set.intersection(*(set(one[name].items()) for one in whole))) for name in ("labels", "annotations")}
    firing = any(one["status"] == "firing" for one in whole)
    return {
        "receiver": "fleet-slack-warnings",
        "status": "firing" if firing else "resolved",
        "alerts": whole,
        "groupLabels": {"alertname": common["labels"].get("alertname", "")},
        "commonLabels": common["labels"],
        "commonAnnotations": common["annotations"],
        "externalURL": "https://alertmanager.example.com",
    }


def rendered(amtool: Path, folder: Path, name: str, document: dict[str, Any], kind: str = "text") -> str:
    return as_template(amtool, folder, f'{{{{ template "{name}" . }}}}', document, kind=kind, glob=TEMPLATES / "*.tmpl")


def as_template(amtool: Path, folder: Path, text: str, document: dict[str, Any], *, glob: Path, kind: str = "text") -> str:
    file = folder / "data.json"
    file.write_text(json.dumps(document))
    given = [f"--template.glob={glob}", f"--template.type={kind}", f"--template.data={file}", f"--template.text={text}"]
    return run(amtool, "template", "render", *given)
