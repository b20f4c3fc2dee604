"""Values with conventional names: ingress, containers, probes, namespace, image, budget, extra objects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.helm.conftest import NAMESPACE, RELEASE, Helm, Render, only


def pod(render: Render, values: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = only(render(values), "Deployment")["spec"]["template"]["spec"]
    return spec


def container(render: Render, values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod(render, values)["containers"][0]
    return found


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({"image": {"registry": "registry.example"}}, "registry.example/fleet-exporter:0.1.0"),
        ({"image": {"registry": "registry.example/", "tag": "7"}}, "registry.example/fleet-exporter:7"),
        ({"global": {"imageRegistry": "parent.example"}}, "parent.example/fleet-exporter:0.1.0"),
        (
            {"global": {"imageRegistry": "parent.example"}, "image": {"registry": "registry.example", "digest": "sha256:0"}},
            "parent.example/fleet-exporter@sha256:0",
        ),
        ({"image": {"repository": "registry.example/fleet/exporter"}}, "registry.example/fleet/exporter:0.1.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_image_is_registry_repository_and_tag_or_digest(render: Render, values: dict[str, Any], image: str) -> None:
    objects = render(values)

    assert only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert only(objects, "Pod")["spec"]["containers"][0]["image"] == image


@pytest.mark.parametrize("given", ["parent", {"name": "parent"}], ids=["name", "object"])
def test_pull_secrets_of_a_parent_chart_are_added(render: Render, given: Any) -> None:
    values = {"global": {"imagePullSecrets": [given]}, "imagePullSecrets": [{"name": "own"}]}

    assert pod(render, values)["imagePullSecrets"] == [{"name": "parent"}, {"name": "own"}]


def test_every_object_is_in_the_overriding_namespace(render: Render) -> None:
    enabled = {"enabled": True}
    parts = ("serviceMonitor", "prometheusRule", "dashboards", "alertmanagerConfig", "networkPolicy", "podDisruptionBudget")
    values = dict.fromkeys((*parts, "ingress"), enabled) | {"namespaceOverride": "elsewhere"}
    objects = render(values | {"config": {"rayjob": {"in_cluster": True}}})

    assert {each["metadata"].get("namespace", "elsewhere") for each in objects} == {"elsewhere"}
    assert only(objects, "ClusterRoleBinding")["subjects"][0]["namespace"] == "elsewhere"
    assert only(objects, "ServiceMonitor")["spec"]["namespaceSelector"] == {"matchNames": ["elsewhere"]}
    assert "http://fleet-exporter.elsewhere.svc:9847/metrics" in only(objects, "Pod")["spec"]["containers"][0]["args"]


HANDLERS = [
    {"exec": {"command": ["fleet-exporter", "health"]}},
    {"tcpSocket": {"port": "metrics"}},
    {"httpGet": {"path": "/", "port": "metrics"}},
    {"grpc": {"port": 1}},
]


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: next(iter(handler)))
def test_a_handler_replaces_the_charts_and_keeps_its_timing(render: Render, probe: str, handler: dict[str, Any]) -> None:
    chart, own = container(render, {})[probe], container(render, {probe: handler})[probe]
    timing = {key: value for key, value in chart.items() if key != "httpGet"}

    assert "httpGet" in chart
    assert own == timing | handler


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_null_removes_a_probe(render: Render, probe: str) -> None:
    assert probe in container(render, {})
    assert probe not in container(render, {probe: None})


def test_containers_are_added_next_to_the_exporter(render: Render) -> None:
    first, second = {"name": "first", "image": "first:1"}, {"name": "second", "image": "second:1"}
    spec = pod(render, {"initContainers": [first], "sidecars": [second]})

    assert spec["initContainers"] == [first]
    assert [each["name"] for each in spec["containers"]] == ["exporter", "second"]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"minAvailable": 0}, {"minAvailable": 0}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
        ({"maxUnavailable": "34%"}, {"maxUnavailable": "34%"}),
    ],
    ids=str,
)
def test_the_disruption_budget_follows_the_values(render: Render, budget: dict[str, Any], expected: dict[str, Any]) -> None:
    spec = only(render({"podDisruptionBudget": {"enabled": True} | budget}), "PodDisruptionBudget")["spec"]

    assert {key: value for key, value in spec.items() if key != "selector"} == expected


def test_a_disruption_budget_rejects_two_bounds(template: Helm) -> None:
    done = template({"podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 1}})

    assert done.returncode != 0
    assert "podDisruptionBudget: expected minAvailable or maxUnavailable, got both; remove one" in done.stderr


def test_an_ingress_routes_to_the_services_port(render: Render) -> None:
    objects = render({"ingress": {"enabled": True, "hosts": [{"host": "a.example"}, {"paths": [{"path": "/fleet"}]}]}})
    first, second = only(objects, "Ingress")["spec"]["rules"]
    service = only(objects, "Service")
    backend = {"service": {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}}

    assert first["host"] == "a.example"
    assert first["http"]["paths"] == [{"path": "/", "pathType": "Prefix", "backend": backend}]
    assert "host" not in second
    assert second["http"]["paths"] == [{"path": "/fleet", "pathType": "Prefix", "backend": backend}]


def test_extra_objects_are_rendered_as_templates(render: Render) -> None:
    name = '{{ include "fleet-exporter.fullname" . }}-extra'
    kind = {"apiVersion": "v1", "kind": "Secret"}
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-text}}\n"
    objects = render({"extraObjects": [kind | {"metadata": {"name": name}}, text]})

    found = [each["metadata"]["name"] for each in objects if each["kind"] == "Secret"]
    assert found == [f"{RELEASE}-extra", f"{RELEASE}-extra-text"]


@pytest.mark.parametrize("part", ["serviceMonitor", "prometheusRule", "alertmanagerConfig"])
def test_only_the_user_sets_labels_for_the_operators_selectors(render: Render, part: str) -> None:
    kind = part[0].upper() + part[1:]
    own = only(render({part: {"enabled": True, "additionalLabels": {"release": "mine"}}}), kind)["metadata"]
    default = only(render({part: {"enabled": True}}), kind)["metadata"]

    assert own["labels"] == default["labels"] | {"release": "mine"}
    assert "release" not in default["labels"]
    assert default["namespace"] == NAMESPACE


def test_a_node_port_needs_a_type_that_has_one(render: Render) -> None:
    def ports(**service: Any) -> dict[str, Any]:
        port: dict[str, Any] = only(render({"service": service}), "Service")["spec"]["ports"][0]
        return port

    assert ports(type="NodePort", nodePort=30000)["nodePort"] == 30000
    assert ports(type="LoadBalancer", nodePort=30000)["nodePort"] == 30000
    assert "nodePort" not in ports(nodePort=30000)


def test_the_strategy_recreate_has_no_settings_of_a_rolling_update(render: Render) -> None:
    spec = only(render({"strategy": {"type": "Recreate"}}), "Deployment")["spec"]

    assert spec["strategy"] == {"type": "Recreate"}
