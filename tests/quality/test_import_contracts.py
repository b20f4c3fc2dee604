"""The import contracts refuse every wrong import that is planted into a copy of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("exporter", "alerts", "dashboards", "servers", "demo", "tests", "benchmarks")


@dataclass(frozen=True)
class Planted:
    """An import in a file of the copy, and the modules that the report must name."""

    file: str
    line: str
    imported: str

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


PLANTED = [
    Planted("exporter/web/api/fleet.py", "import redis", "redis"),
    Planted("exporter/web/server.py", "from nats import errors", "nats"),
    Planted("exporter/web/planted.py", "import sqlite3", "sqlite3"),
    Planted("exporter/settings.py", "import neo4j", "neo4j"),
    Planted("exporter/scrape/__init__.py", "from kubernetes import client", "kubernetes"),
    Planted("exporter/commands.py", "from servers import nats", "servers.nats"),
    Planted("exporter/assets.py", "from demo import scenario", "demo.scenario"),
    Planted("exporter/source.py", "from alerts import thresholds", "alerts.thresholds"),
    Planted("exporter/errors.py", "from dashboards import agents", "dashboards.agents"),
    Planted("exporter/fleet/state.py", "import asyncio", "asyncio"),
    Planted("exporter/fleet/agents.py", "from time import time", "time"),
    Planted("exporter/fleet/stages.py", "from exporter.clients import clock", "exporter.clients.clock"),
    Planted("exporter/sources/neo4j/counts.py", "from exporter.sources import valkey", "exporter.sources.valkey"),
    Planted("exporter/sources/valkey/info.py", "from exporter.web import server", "exporter.web.server"),
    Planted("exporter/clients/nats.py", "from exporter.sources import jetstream", "exporter.sources.jetstream"),
    Planted("exporter/events/model.py", "from exporter.fleet import state", "exporter.fleet.state"),
    Planted("exporter/metrics/metric.py", "from exporter import source", "exporter.source"),
    Planted("exporter/config/options.py", "from exporter.metrics import metric", "exporter.metrics.metric"),
    Planted(
        "exporter/web/landing.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from exporter import cli",
        "exporter.cli",
    ),
    Planted("dashboards/agents.py", "from grafanalib import core", "grafanalib"),
    Planted("dashboards/planted.py", "import grafanalib.core", "grafanalib"),
    Planted("dashboards/rows/costs.py", "import grafanalib", "grafanalib"),
    Planted("dashboards/stories.py", "from servers import prometheus", "servers.prometheus"),
    Planted("alerts/thresholds.py", "from dashboards import stories", "dashboards.stories"),
    Planted("servers/nats.py", "from exporter import errors", "exporter.errors"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint-imports reports about a copy of the code with every planted import."""
    copy = tmp_path_factory.mktemp("planted")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=lambda _, names: [n for n in names if n == "__pycache__"])
    shutil.copy(ROOT / "pyproject.toml", copy)
    for planted in PLANTED:
        file = copy / planted.file
        if not planted.file.endswith("planted.py"):
            assert file.exists(), f"{planted.file} is gone: plant the import into another file"
        with file.open("a") as end:
            end.write(f"\n{planted.line}\n")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=copy, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.module} imports {planted.imported}")
def test_a_forbidden_import_is_rejected(report: str, planted: Planted) -> None:
    assert re.search(rf"{re.escape(planted.module)} -> {re.escape(planted.imported)} \(", report), report
