"""The rules that are executed: style, types, arrows between modules, and generated files that equal their source."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.reference import configuration_schema, metric_groups, metrics_markdown

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["importlinter.cli", "lint-imports"],
    ],
    ids=lambda command: " ".join(command),
)
def test_tools_have_no_complaint(command: list[str]) -> None:
    module = ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    arguments = module if command[0].startswith("importlinter") else ["-m", *command]
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_metrics_reference_is_what_the_declarations_say() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == metrics_markdown() + "\n"


def test_the_schema_is_what_the_options_say() -> None:
    assert json.loads((ROOT / "docs/configuration.schema.json").read_text()) == configuration_schema()


def test_no_metric_name_is_declared_twice() -> None:
    declared = {metric for metrics in metric_groups().values() for metric in metrics}  # one may be several sources'
    names = [metric.name for metric in declared]

    assert len(names) == len(set(names))


def test_the_schema_describes_every_source() -> None:
    assert {"web", "log", "jetstream", "neo4j", "rayjob", "valkey", "vllm"} <= set(configuration_schema()["properties"])


def test_the_makefile_and_the_readme_name_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()

    assert "make demo" in readme
    assert "make test" in readme
