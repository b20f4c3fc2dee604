"""The values: each has a default, a comment and a golden case; unknown values are rejected with one sentence."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from exporter import __version__
from exporter.config.urls import EXPORTER_URL, GRAFANA_URL, RUNBOOK_URL
from exporter.reference.chart_schema import chart_schema
from exporter.settings import options
from tests.deploy.helm.conftest import CASES, CHART, Helm, Render, only

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
NOT_READ = {"enabled"}
"""Set by a parent chart; no default here."""
COVERED_ELSEWHERE = ("dashboards.", "alertmanagerConfig.", "prometheusRule.")
"""Values whose objects are compared with the generated files in test_operator_discovery.py."""


def test_the_schema_file_is_up_to_date() -> None:
    assert json.loads((CHART / "values.schema.json").read_text()) == chart_schema()


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(chart_schema())


def described(schema: dict[str, Any], path: str = "") -> set[str]:
    """Paths of the values that the chart itself defines; what `config` and `secretEnv` hold is the exporter's."""
    found = set()
    for name, part in schema.get("properties", {}).items():
        if path + name not in ("config", "secretEnv") and part.get("properties"):
            found |= described(part, f"{path}{name}.")
        elif path + name not in NOT_READ:
            found.add(path + name)
    return found


def given(values: dict[str, Any], known: set[str], path: str = "") -> set[str]:
    found = set()
    for name, value in values.items():
        if isinstance(value, dict) and value and path + name not in known:
            found |= given(value, known, f"{path}{name}.")
        else:
            found.add(path + name)
    return found


def test_every_value_is_described_and_has_a_default() -> None:
    known = described(chart_schema())

    assert given(VALUES, known) == known


def test_every_value_is_set_in_a_golden_case() -> None:
    known = described(chart_schema())
    covered = set().union(*(given(yaml.safe_load(case.read_text()), known) for case in CASES))

    assert {path for path in known - covered if not path.startswith(COVERED_ELSEWHERE)} == set()


def test_every_value_is_used() -> None:
    templates = "".join(file.read_text() for file in (CHART / "templates").rglob("*") if file.is_file())
    unused = {path for path in described(chart_schema()) if not re.search(rf"\.{path.rpartition('.')[2]}\b", templates)}

    assert unused == set()


def test_every_case_is_valid_by_the_schema_alone() -> None:
    for case in CASES:
        jsonschema.validate(yaml.safe_load(case.read_text()), chart_schema())


def test_every_option_except_secrets_and_fixed_ones_is_a_value() -> None:
    schema = chart_schema()
    config = schema["properties"]["config"]["properties"]
    offered = set()
    for name, part in config.items():
        options_of_group = schema["$defs"][part["$ref"][8:]].get("properties")
        offered |= {f"{name}.{option}" for option in options_of_group} if options_of_group else {name}
    secret = {option.path for option in options() if option.flag is None}

    assert {option.path for option in options()} - offered == secret | {"shard", "web.listen_address", "web.config_file"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 2}, r"additional properties 'replicas' not allowed"),
        ({"image": {"tga": "1"}}, r"'/image'.*additional properties 'tga' not allowed"),
        ({"serviceMonitor": {"interval": "often"}}, r"'/serviceMonitor/interval'.*does not match pattern"),
        ({"rules": {"enabled": True}}, r"additional properties 'rules' not allowed"),
        ({"serviceMonitor": {"labels": {}}}, r"'/serviceMonitor'.*additional properties 'labels' not allowed"),
        ({"ingress": {"hosts": ["a.example"]}}, r"'/ingress/hosts/0'.*got string, want object"),
        ({"ingress": {"hosts": [{"host": "a", "paths": [{"pathType": "Exact"}]}]}}, r"missing property 'path'"),
        ({"dnsPolicy": "Cluster"}, r"'/dnsPolicy'.*value must be one of"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, r"'/podDisruptionBudget/minAvailable'.*does not match pattern"),
        ({"service": {"nodePort": 70000}}, r"'/service/nodePort'.*maximum: got 70,?000, want 65,?535"),
        ({"shards": 0}, r"'/shards'.*minimum: got 0, want 1"),
        ({"service": {"port": "http"}}, r"'/service/port'.*got string, want integer"),
        ({"config": {"valky": {}}}, r"'/config'.*additional properties 'valky' not allowed"),
        ({"config": {"valkey": {"urls": []}}}, r"'/config/valkey'.*additional properties 'urls' not allowed"),
        ({"config": {"rayjob": {"in_cluster": "yes"}}}, r"'/config/rayjob/in_cluster'.*got string, want boolean"),
        ({"config": {"log": {"level": "loud"}}}, r"'/config/log/level'"),
        ({"config": {"profile": "least"}}, r"'/config/profile'"),
        ({"config": {"valkey": {"timeout": 0}}}, r"'/config/valkey/timeout'.*exclusiveMinimum"),
        ({"config": {"neo4j": {"password": "x"}}}, r"'/config/neo4j'.*additional properties 'password' not allowed"),
        ({"config": {"web": {"listen_address": ":1"}}}, r"additional properties 'listen_address' not allowed"),
        ({"config": {"shard": "0/2"}}, r"'/config'.*additional properties 'shard' not allowed"),
        ({"secretEnv": {"NATS_PASWORD": {"name": "a", "key": "b"}}}, r"'/secretEnv'.*additional properties 'NATS_PASWORD'"),
        ({"secretEnv": {"NATS_PASSWORD": {"name": "a"}}}, r"missing property 'key'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_unknown_values_and_secrets_are_rejected(template: Helm, values: dict[str, Any], complaint: str) -> None:
    done = template(values)

    assert done.returncode != 0
    assert re.search(complaint, done.stderr), done.stderr


@pytest.mark.parametrize("address", ["redis://:hunter2@valkey:6379", "redis://hunter2:x@valkey", "redis://hunter2@valkey/0"])
def test_a_password_in_an_address_is_rejected_and_not_printed(template: Helm, address: str) -> None:
    done = template({"config": {"valkey": {"url": [address]}}})

    assert done.returncode != 0
    assert "config: an address contains credentials" in done.stderr
    assert "existingSecret" in done.stderr
    assert "hunter2" not in done.stderr


def test_the_configuration_reaches_the_exporter_unchanged(render: Render) -> None:
    config = {
        "valkey": {
            "url": ["redis://[::1]:6379/0", "redis://valkey:6379/0?x=a@b"],
            "collection_keys": ["{{ .Values.image }}", "a: b"],
        },
        "jetstream": {"max_series": 2_000_000, "timeout": 2.5, "services": {"1e3": "on", "~": "null"}},
        "rayjob": {"agent_label": "fleet.example/agent", "kubeconfig": None},
    }
    written = only(render({"config": config}), "ConfigMap")["data"]["config.yaml"]

    assert yaml.safe_load(written) == config


def test_a_parent_chart_may_share_values_and_disable_this_one(template: Helm) -> None:
    assert template({"global": {"imageRegistry": "x"}, "enabled": False}).returncode == 0


def test_versions_and_links_equal_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = __version__

    assert chart["version"] == chart["appVersion"] == version
    assert (VALUES["prometheusRule"]["grafanaUrl"], VALUES["prometheusRule"]["runbookUrl"]) == (GRAFANA_URL, RUNBOOK_URL)
    assert VALUES["dashboards"]["exporterUrl"] == EXPORTER_URL
