"""What the chart renders: equal to the reviewed files, valid for every supported Kubernetes, with minimal permissions.

`GOLDEN=write python -m pytest tests/deploy/helm/test_rendered.py` writes the golden files; review the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.helm.conftest import CASES, CHART, NAMESPACE, Helm, Objects, Render, only

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ["1.25", kubernetes_validate.latest_version()]
"""The oldest that Chart.yaml allows, and the newest with schemas."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as such."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)


def short(objects: Objects) -> Objects:
    """What a file of the chart holds, as the file's name: it is looked at where it is written."""
    rules = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    script = (CHART / "scripts/read_page.py").read_text()
    for each in objects:
        if each["kind"] == "PrometheusRule" and each["spec"]["groups"] == rules:
            each["spec"]["groups"] = "files/alerts.yaml"
        if each["kind"] == "Pod":
            (container,) = each["spec"]["containers"]
            container["args"] = ["scripts/read_page.py" if text == script else text for text in container["args"]]
    return objects


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_objects_equal_the_golden_file(render: Render, case: Path) -> None:
    rendered = yaml.dump_all(short(render(case)), Dumper=_Dumper, sort_keys=False, width=120)
    golden = GOLDEN / case.name
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(rendered)

    assert rendered == golden.read_text()


def test_every_golden_file_has_its_case() -> None:
    assert sorted(file.name for file in GOLDEN.iterdir()) == [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_built_in_object_is_valid(render: Render, case: Path) -> None:
    for each in render(case):
        if each["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # the API server's strict check of tests/deploy/helm/test_install.py knows those
        for version in VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)


def test_helm_lint_passes(helm_command: Helm) -> None:
    for case in CASES:
        done = helm_command("lint", "--strict", CHART, "--values", case)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_pod_is_hardened(render: Render, case: Path) -> None:
    specs = [each["spec"]["template"]["spec"] for each in render(case) if each["kind"] == "Deployment"]
    specs += [each["spec"] for each in render(case) if each["kind"] == "Pod"]
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 10_000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is False  # or FLEET_EXPORTER_PORT is set, which the exporter rejects
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


RAY_KINDS = ("rayjobs", "rayclusters", "rayservices", "raycronjobs")
RAY = {("get", "ray.io", "rayjobs"), *((verb, "ray.io", kind) for verb in ("list", "watch") for kind in RAY_KINDS)}
PODS = {
    (verb, group, kind)
    for verb in ("list", "watch")
    for group, kind in (("", "pods"), ("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets"))
}
NODES = {("list", "", "nodes"), ("watch", "", "nodes")}
USAGE = {("list", "metrics.k8s.io", "pods")}
ENDPOINTS = {("list", "discovery.k8s.io", "endpointslices"), ("watch", "discovery.k8s.io", "endpointslices")}

Rights = dict[str, set[tuple[str, str, str]]]


def rights(objects: Objects) -> Rights:
    """Permissions of the bound account: (verb, group, resource) by namespace, `*` for cluster-wide."""
    account = only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    found: Rights = {}
    roles = {(each["kind"], each["metadata"].get("namespace", "*"), each["metadata"]["name"]): each for each in objects}
    for each in objects:
        if not each["kind"].endswith("Binding"):
            continue
        assert each["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]
        place = each["metadata"].get("namespace", "*")
        for rule in roles.pop((each["roleRef"]["kind"], place, each["roleRef"]["name"]))["rules"]:
            found.setdefault(place, set()).update(
                (verb, group, resource)
                for verb in rule["verbs"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
            )
    assert not [kind for kind, _, _ in roles if kind in ("Role", "ClusterRole")], "a role without a binding"
    return found


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {}),
        ({"valkey": {"url": ["redis://valkey:6379"]}}, {}),
        ({"rayjob": {"in_cluster": False}, "workloads": {"namespaces": ["a"]}}, {}),
        ({"rayjob": {"in_cluster": True}}, {"*": RAY}),
        ({"rayjob": {"in_cluster": True, "namespaces": ["a", "b", "a"]}}, {"a": RAY, "b": RAY}),
        ({"rayjob": {"in_cluster": True, "kubeconfig": "/k"}}, {}),
        ({"workloads": {"in_cluster": True}}, {"*": PODS}),
        ({"workloads": {"in_cluster": True, "usage": True}}, {"*": PODS | USAGE}),
        ({"workloads": {"in_cluster": True, "namespaces": ["a"], "usage": True}}, {"a": PODS | USAGE}),
        ({"workloads": {"in_cluster": True, "namespaces": ["a"], "nodes": True}}, {"a": PODS, "*": NODES}),
        ({"vllm": {"service": ["a/x", "a/y:http", "b/x"]}}, {"a": ENDPOINTS, "b": ENDPOINTS}),
        ({"vllm": {"service": ["a/x"], "kubeconfig": "/k"}}, {}),
        ({"vllm": {"url": ["http://vllm:8000"]}}, {}),
        (
            {"rayjob": {"in_cluster": True}, "workloads": {"in_cluster": True, "namespaces": ["a"]}}
            | {"vllm": {"service": ["a/x"]}},
            {"*": RAY, "a": PODS | ENDPOINTS},
        ),
    ],
)  # fmt: skip
def test_each_source_adds_only_its_own_permissions(render: Render, config: dict[str, Any], expected: Rights) -> None:
    objects = render({"config": config})
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]

    assert rights(objects) == expected
    assert pod["automountServiceAccountToken"] is bool(expected)
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False


def test_no_role_is_created_without_rbac(render: Render) -> None:
    objects = render({"config": {"rayjob": {"in_cluster": True}}, "rbac": {"create": False}})

    assert rights(objects) == {}
    assert only(objects, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


def test_shards_share_one_service_and_differ_in_one_flag(render: Render) -> None:
    objects = render({"shards": 3})
    deployments = [each for each in objects if each["kind"] == "Deployment"]
    alone = only(render(), "Deployment")

    assert [each["metadata"]["name"] for each in deployments] == [
        "fleet-exporter",
        "fleet-exporter-1",
        "fleet-exporter-2",
    ]
    flags = [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in deployments]
    assert [[flag for flag in each if "shard" in flag] for each in flags] == [
        ["--shard=0/3"],
        ["--shard=1/3"],
        ["--shard=2/3"],
    ]
    selectors = [each["spec"]["selector"]["matchLabels"] for each in deployments]
    assert len({tuple(selector.items()) for selector in selectors}) == 3
    assert selectors[0] == alone["spec"]["selector"]["matchLabels"]  # an upgrade cannot change a selector
    service = only(objects, "Service")["spec"]["selector"]
    assert all(service.items() <= each["spec"]["template"]["metadata"]["labels"].items() for each in deployments)
