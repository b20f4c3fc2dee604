"""References that equal the declarations they are generated from."""

from __future__ import annotations

import json
from pathlib import Path

from exporter.reference import configuration_schema, metric_groups, metrics_markdown

ROOT = Path(__file__).parents[2]


def test_the_metrics_reference_is_up_to_date() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == metrics_markdown() + "\n"


def test_the_schema_is_up_to_date() -> None:
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
