"""docs/kubernetes.md: every example renders, every name exists, and the table of permissions equals the roles."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.reference.chart_schema import chart_schema
from exporter.settings import CONFIG_FILE, add_flags, load, options
from tests.deploy.helm.conftest import CASES, CHART, Render, only
from tests.deploy.helm.test_rendered import rights

ROOT = CHART.parents[1]
PAGE = (ROOT / "docs/kubernetes.md").read_text()
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
EVERY_RIGHT = {
    "rayjob": {"in_cluster": True},
    "workloads": {"in_cluster": True, "usage": True, "nodes": True},
    "vllm": {"service": ["models/vllm"]},
}


@pytest.mark.parametrize("values", [*EXAMPLES, *CASES], ids=lambda case: case.stem if isinstance(case, Path) else "example")
def test_the_exporter_accepts_every_configuration_that_the_chart_accepts(
    render: Render, tmp_path: Path, values: Path | dict[str, Any]
) -> None:
    objects = render(values)
    config = next(each["data"]["config.yaml"] for each in objects if "config.yaml" in each.get("data", {}))
    file = tmp_path / "config.yaml"
    file.write_text(config)

    given = load({"config.file": str(file)}, {}).model_dump(exclude_unset=True)
    assert given.keys() >= yaml.safe_load(config).keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_exporter_accepts_every_flag_of_the_chart(render: Render, case: Path) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    add_flags(parser)
    for each in render(case):
        if each["kind"] == "Deployment":
            flags = each["spec"]["template"]["spec"]["containers"][0]["args"]
            given = {name: text for name, text in vars(parser.parse_args(flags)).items() if name != CONFIG_FILE}
            if given.get("web.config_file"):
                assert given["web.config_file"] == "/etc/fleet-exporter-web/web.yml"
            load(given, {})


def test_the_variables_it_names_exist() -> None:
    known = {option.variable for option in options()} | {option.well_known_variable for option in options()}
    named = set(re.findall(r"\b(?:NATS|REDIS|NEO4J|VLLM|LOKI)_[A-Z]+\b|FLEET_EXPORTER_[A-Z_]+[A-Z]", PAGE))

    assert named - known == {"FLEET_EXPORTER_PORT"}  # set by Kubernetes, described on the page
    well_known = {option.well_known_variable for option in options()} - {None, "NEO4J_DATABASE"}
    assert well_known <= named


def test_the_values_it_names_exist() -> None:
    top = chart_schema()["properties"]
    for path in re.findall(r"`([a-z]\w+(?:\.[a-z]\w+)+)(?:`|: )", PAGE):
        first, *rest = path.split(".")
        if first in top and first != "config" and path != "web.yml":
            assert rest[0] in top[first].get("properties", {rest[0]: {}}), path


def test_the_table_of_permissions_equals_the_roles(render: Render) -> None:
    given = set().union(*rights(render({"config": EVERY_RIGHT})).values())
    rows = re.findall(r"^\| (?:`.*?`)? ?\| (core|`.*?`) \| (`.*?`) \| ([a-z, ]+) \|", PAGE, re.MULTILINE)
    documented = {
        (verb, "" if group == "core" else group.strip("`"), resource)
        for group, resources, verbs in rows
        for resource in re.findall(r"`(\w+)`", resources)
        for verb in verbs.split(", ")
    }

    assert documented == given


def test_links_point_to_files() -> None:
    for page in (ROOT / "docs/kubernetes.md", CHART / "README.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), link


def test_honor_labels_is_the_default(render: Render) -> None:
    objects = render({"serviceMonitor": {"enabled": True}})

    assert only(objects, "ServiceMonitor")["spec"]["endpoints"][0]["honorLabels"] is True


def test_every_dashboard_has_its_text_for_grafana_com() -> None:
    text = (ROOT / "docs/grafana-com.md").read_text()
    sections = dict(re.findall(r"^## (fleet-[\w-]+)\n\n(.+?)(?=\n## |\Z)", text, re.MULTILINE | re.DOTALL))
    files = {file.stem: file.read_text() for file in (CHART / "files/dashboards").glob("*.json")}

    assert sections.keys() == files.keys()
    assert all(re.match(r"\*\*[^*]+\.\*\* ", section) for section in sections.values())
    loki = {uid for uid, section in sections.items() if "Loki." in section}
    assert {uid for uid, dashboard in files.items() if '"type": "loki"' in dashboard} == loki
