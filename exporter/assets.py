"""The generated dashboards and rules, from the wheel or a checkout, with the user's URLs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import yaml

from exporter.config.urls import EXPORTER_URL, GRAFANA_URL, RUNBOOK_URL

_PLACES: Final = (Path(__file__).parent / "generated", Path(__file__).parents[1] / "deploy/helm/files")
"""Location of the generated files in a wheel, and in a checkout or editable install."""

RULES: Final = "alerts.yaml"
DASHBOARDS: Final = "dashboards"
WITHOUT_LOKI: Final = "without-loki"

_PROMETHEUS_RULE: Final = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PrometheusRule",
    "metadata": {"name": "fleet-exporter", "labels": {"app.kubernetes.io/name": "fleet-exporter"}},
}


class BundleError(Exception):
    """A file cannot be read or written; the message is one sentence."""


def folder() -> Path:
    """The folder with the generated files. Raises BundleError if the installation has none."""
    for place in _PLACES:
        if (place / RULES).is_file():
            return place
    raise BundleError(f"{_PLACES[0]}: no dashboards and rules found; install the wheel, or run from a checkout")


def dashboards(*, loki: bool = True, exporter_url: str = EXPORTER_URL) -> dict[str, str]:
    """JSON text by file name, with this URL of the exporter. Raises BundleError.

    Without Loki, dashboards that query Loki are returned without these panels.

    """
    place = folder() / DASHBOARDS
    files = {file.name: file for file in sorted(place.glob("*.json"))}
    if not loki:
        files |= {file.name: file for file in (place / WITHOUT_LOKI).glob("*.json")}
    address = json.dumps(exporter_url.rstrip("/"))[1:-1]
    return {name: _read(file).replace(EXPORTER_URL, address) for name, file in files.items()}


def rules(*, grafana_url: str = GRAFANA_URL, runbook_url: str = RUNBOOK_URL) -> str:
    """The rule file with these URLs. Raises BundleError."""
    text = _read(folder() / RULES)
    return text.replace(RUNBOOK_URL, runbook_url.rstrip("/")).replace(GRAFANA_URL, grafana_url.rstrip("/"))


ALERTMANAGER: Final = {
    "configuration": "alertmanager.yaml", "template": "slack.tmpl", "resource": "alertmanagerconfig.yaml",
}  # fmt: skip
"""File name by format: the Alertmanager configuration, its Slack template, and the AlertmanagerConfig resource."""

CRITICAL_CHANNEL: Final = "#fleet-critical"
WARNING_CHANNEL: Final = "#fleet-warnings"
SECRETS: Final = "/etc/alertmanager/secrets/fleet-alerts"
TEMPLATES: Final = "/etc/alertmanager/configmaps/fleet-alerts"

_CHANNEL: Final = re.compile(r"[#@][\w.-]+|[CGD][A-Z0-9]{8,}")
_FOLDER: Final = re.compile(r"[\w./-]+")


def alertmanager(form: str, *, critical_channel: str, warning_channel: str, secrets: str, templates: str) -> str:
    """One of the ALERTMANAGER files with these channels and folders. Raises BundleError."""
    for channel in (critical_channel, warning_channel):
        if not _CHANNEL.fullmatch(channel):
            raise BundleError(f"{channel!r}: expected a Slack channel; write #name, or the channel's ID")
    for place in (secrets, templates):
        if not _FOLDER.fullmatch(place):
            raise BundleError(f"{place!r}: expected a folder path; use letters, digits, and . / - _ only")
    chosen = {
        f"'{CRITICAL_CHANNEL}'": f"'{critical_channel}'",
        f"'{WARNING_CHANNEL}'": f"'{warning_channel}'",
        SECRETS: secrets.rstrip("/"),
        TEMPLATES: templates.rstrip("/"),
    }
    text = _read(folder() / ALERTMANAGER[form])
    return re.sub("|".join(map(re.escape, chosen)), lambda found: chosen[found[0]], text)


def prometheus_rule(rule_file: str) -> str:
    """A rule file as a PrometheusRule resource."""
    document = _PROMETHEUS_RULE | {"spec": yaml.safe_load(rule_file)}
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def write(file: Path, text: str, *, creates_folder: bool = False) -> None:
    """Write one file, into a folder that exists or is created. Raises BundleError."""
    try:
        if creates_folder:
            file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror or error}; choose another path with --out") from None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror or error}; reinstall fleet-exporter") from None
