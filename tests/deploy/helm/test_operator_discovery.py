"""Objects for Grafana's sidecar and the Prometheus Operator: the generated files, changed only by values."""

from __future__ import annotations

import json
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.urls import EXPORTER_URL, GRAFANA_URL, RUNBOOK_URL
from tests.deploy.helm.conftest import CHART, NAMESPACE, Helm, Objects, Render, documents, only

DASHBOARDS = {file.name: file.read_text() for file in (CHART / "files/dashboards").glob("*.json")}
WITHOUT_LOKI = {file.name: file.read_text() for file in (CHART / "files/dashboards/without-loki").glob("*.json")}
GROUPS: list[dict[str, Any]] = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
(CONFIG,) = documents((CHART / "files/alertmanagerconfig.yaml").read_text())
ON = {"enabled": True}


def boards(objects: Objects) -> dict[str, str]:
    """The content of every dashboard by its file's name."""
    found = [each for each in objects if each["metadata"]["labels"].get("grafana_dashboard")]
    assert all(each["kind"] == "ConfigMap" and len(each["data"]) == 1 for each in found)
    return {name: text for each in found for name, text in each["data"].items()}


def test_every_dashboard_is_a_configmap_with_the_sidecars_label(render: Render) -> None:
    objects = render({"dashboards": ON})

    assert boards(objects) == DASHBOARDS
    for each in objects:
        if each["metadata"]["labels"].get("grafana_dashboard"):
            assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert each["metadata"]["annotations"] == {"grafana_folder": "Fleet"}
            assert each["metadata"]["namespace"] == NAMESPACE
            (name,) = each["data"]
            assert json.loads(each["data"][name])["uid"] == name.removesuffix(".json")


def test_dashboards_follow_the_values(render: Render) -> None:
    first = min(DASHBOARDS).removesuffix(".json")
    options = {"namespace": "grafana", "labels": {"find": "me"}, "annotations": {"a": "b"}, "folder": "Agents"}
    objects = render({"dashboards": ON | options | {"disabled": [first]}})

    assert boards(objects).keys() == DASHBOARDS.keys() - {f"{first}.json"}
    meta = [each["metadata"] for each in objects if "find" in each["metadata"]["labels"]]
    assert len(meta) == len(DASHBOARDS) - 1
    assert all(each["namespace"] == "grafana" for each in meta)
    assert all(each["annotations"] == {"a": "b", "grafana_folder": "Agents"} for each in meta)


def test_without_loki_its_panels_are_omitted(render: Render) -> None:
    assert boards(render({"dashboards": ON | {"loki": False}})) == DASHBOARDS | WITHOUT_LOKI


@pytest.mark.parametrize(("loki", "files"), [(True, DASHBOARDS), (False, DASHBOARDS | WITHOUT_LOKI)])
def test_dashboards_link_to_the_exporter_url(render: Render, loki: bool, files: dict[str, str]) -> None:
    found = boards(render({"dashboards": ON | {"loki": loki, "exporterUrl": 'https://fleet.example/"a"&b/'}}))

    assert EXPORTER_URL in "".join(files.values())
    assert {name: json.loads(text) for name, text in found.items()} == {
        name: json.loads(text.replace(EXPORTER_URL, 'https://fleet.example/\\"a\\"&b')) for name, text in files.items()
    }


def test_rules_equal_the_generated_file(render: Render) -> None:
    rule = only(render({"prometheusRule": ON}), "PrometheusRule")

    assert rule["spec"] == {"groups": GROUPS}


def test_alerts_link_to_the_urls_of_the_values(render: Render) -> None:
    urls = {"grafanaUrl": "https://grafana.example/sub/", "runbookUrl": "https://runbooks.example"}
    found = only(render({"prometheusRule": ON | urls}), "PrometheusRule")["spec"]["groups"]
    written = json.dumps(GROUPS)
    assert GRAFANA_URL in written
    assert RUNBOOK_URL in written

    expected = written.replace(RUNBOOK_URL, "https://runbooks.example").replace(GRAFANA_URL, "https://grafana.example/sub")
    assert found == json.loads(expected)


def alerts(groups: list[dict[str, Any]]) -> list[str]:
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def test_groups_and_alerts_are_disabled_and_alerts_labelled(render: Render) -> None:
    group = next(group for group in GROUPS if alerts([group]))
    alert = alerts([each for each in GROUPS if each is not group])[0]
    options = {"disabledGroups": [group["name"]], "disabledAlerts": [alert], "alertLabels": {"team": "agents"}}
    found = only(render({"prometheusRule": ON | options}), "PrometheusRule")["spec"]["groups"]

    expected = []
    for each in deepcopy(GROUPS):
        each["rules"] = [rule for rule in each["rules"] if rule.get("alert") != alert]
        for rule in each["rules"]:
            if "alert" in rule:
                rule["labels"]["team"] = "agents"
        if each["rules"] and each["name"] != group["name"]:
            expected.append(each)
    assert found == expected


def test_promtool_accepts_the_rules_with_changed_values(render: Render, promtool: Path, tmp_path: Path) -> None:
    options = {"grafanaUrl": "https://grafana.example", "alertLabels": {"team": "agents"}}
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps(only(render({"prometheusRule": ON | options}), "PrometheusRule")["spec"]))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"prometheusRule": {"disabledGroups": ["fleet-absent"]}},
            'prometheusRule.disabledGroups: unknown group "fleet-absent"',
        ),
        (
            {"prometheusRule": {"disabledAlerts": ["NoSuchAlert"]}},
            'prometheusRule.disabledAlerts: unknown alert "NoSuchAlert"',
        ),
        ({"dashboards": {"disabled": ["fleet-absent"]}}, 'dashboards.disabled: unknown dashboard "fleet-absent"'),
    ],
)
def test_an_unknown_name_to_disable_is_an_error(template: Helm, values: dict[str, Any], complaint: str) -> None:
    (group,) = values
    done = template({group: ON | values[group]})

    assert done.returncode != 0
    assert complaint in done.stderr


def test_the_alertmanager_configuration_equals_the_generated_file(render: Render) -> None:
    found = only(render({"alertmanagerConfig": ON | {"heartbeat": True}}), "AlertmanagerConfig")

    assert found["apiVersion"] == CONFIG["apiVersion"]
    assert found["spec"] == CONFIG["spec"]


def test_the_secret_and_the_channels_follow_the_values(render: Render) -> None:
    options = {"existingSecret": "slack", "criticalChannel": "#pager", "warningChannel": "#noise", "heartbeat": True}
    spec = only(render({"alertmanagerConfig": ON | options}), "AlertmanagerConfig")["spec"]
    slack = [each for receiver in spec["receivers"] for each in receiver.get("slackConfigs", ())]
    webhooks = [each for receiver in spec["receivers"] for each in receiver.get("webhookConfigs", ())]

    assert {each["channel"] for each in slack} == {"#pager", "#noise"}
    assert {each["apiURL"]["name"] for each in slack} == {"slack"}
    assert [each["urlSecret"]["name"] for each in webhooks] == ["slack"]
    assert '"fleet-alerts"' not in json.dumps(spec)


def test_without_a_heartbeat_its_receiver_sends_nothing(render: Render) -> None:
    spec = only(render({"alertmanagerConfig": ON}), "AlertmanagerConfig")["spec"]

    assert [receiver["name"] for receiver in spec["receivers"]] == [each["name"] for each in CONFIG["spec"]["receivers"]]
    assert "webhookConfigs" not in json.dumps(spec)
    assert "heartbeat-url" not in json.dumps(spec)


@pytest.mark.parametrize("values", [{}, {"fullnameOverride": "watcher"}, {"nameOverride": "watcher"}], ids=str)
def test_alerts_select_the_exporter_by_its_job(render: Render, values: dict[str, Any]) -> None:
    (endpoint,) = only(render(values | {"serviceMonitor": ON}), "ServiceMonitor")["spec"]["endpoints"]
    (job,) = (each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job")
    patterns = set(re.findall(r'job=~"([^"]*)"', json.dumps(GROUPS).replace('\\"', '"')))

    assert patterns
    assert all(re.fullmatch(pattern, job) for pattern in patterns), patterns
