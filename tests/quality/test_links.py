"""Links that the documentation test does not see: the repository's own URLs, and paths of dashboards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("alerts", "benchmarks", "dashboards", "demo", "deploy", "docs", "exporter")
SUFFIXES = {".html", ".json", ".md", ".py", ".tmpl", ".txt", ".yaml"}
DASHBOARDS = ROOT / "deploy/helm/files/dashboards"
_OWN_FILE = re.compile(r"https://github\.com/fleet-exporter/fleet-exporter/(?:blob|tree)/main/([\w./-]*\w)")
_DASHBOARD = re.compile(r"/d/(fleet-[\w-]*\w)")


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file that can hold a link, with its content."""
    for file in [*ROOT.glob("*.md"), *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*")))]:
        if file.is_file() and file.suffix in SUFFIXES:
            yield file, file.read_text()


def test_every_url_of_the_repository_leads_to_a_file() -> None:
    found = [(file, path) for file, text in texts() for path in _OWN_FILE.findall(text)]

    assert len(found) > 80  # one per alert, and the default of --runbook-url
    assert [f"{file}: {path}" for file, path in found if not (ROOT / path).exists()] == []


def test_every_path_of_a_dashboard_leads_to_a_dashboard() -> None:
    uids = {json.loads(file.read_text())["uid"] for file in DASHBOARDS.glob("*.json")}
    found = [(file, uid) for file, text in texts() for uid in _DASHBOARD.findall(text)]

    assert len(found) > 100
    assert [f"{file}: {uid}" for file, uid in found if uid not in uids] == []
