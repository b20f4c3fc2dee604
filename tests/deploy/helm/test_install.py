"""The chart on a real API server: strict validation, upgrade, rollback and uninstall."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers.kubernetes import Kubernetes
from tests.deploy.helm.conftest import CASES, RELEASE, Helm, Render
from tests.deploy.helm.releases import apply_monitoring_crds, path_of, release

EVERYTHING: dict[str, Any] = {
    "config": {"rayjob": {"in_cluster": True}, "workloads": {"in_cluster": True, "namespaces": ["default"], "nodes": True}},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True, "grafanaUrl": "https://grafana.example"},
    "dashboards": {"enabled": True},
    "alertmanagerConfig": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "podDisruptionBudget": {"enabled": True},
    "ingress": {"enabled": True},
}
WITHOUT_DASHBOARDS = EVERYTHING | {"dashboards": {"enabled": False}}
"""Several megabytes less, for tests that do not need the dashboards."""
_LARGEST_SECRET = 1024 * 1024
"""In bytes: the API server's limit. Helm stores a release with its chart in one Secret."""


@pytest.fixture(scope="module")
def server(kubernetes_server: Kubernetes) -> Kubernetes:
    apply_monitoring_crds(kubernetes_server)
    return kubernetes_server


@pytest.mark.parametrize(
    "values", [EVERYTHING, *CASES], ids=lambda case: case.stem if isinstance(case, Path) else "everything"
)
def test_strict_validation_accepts_every_object(server: Kubernetes, render: Render, values: Path | dict[str, Any]) -> None:
    for each in render(values):
        place = each["metadata"].get("namespace")
        if place:
            server.create("/api/v1/namespaces", {"metadata": {"name": place}})
        path = f"{path_of(each, name=False)}?dryRun=All&fieldValidation=Strict"
        status, response = server.request("POST", path, each)
        assert status == 201, (each["kind"], response["message"])


def test_strict_validation_rejects_an_unknown_field(server: Kubernetes, render: Render) -> None:
    monitor = next(each for each in render(EVERYTHING) if each["kind"] == "ServiceMonitor")
    monitor["metadata"]["namespace"] = "default"
    monitor["spec"]["endpoints"][0]["honourLabels"] = True
    status, response = server.request("POST", f"{path_of(monitor, name=False)}?dryRun=All&fieldValidation=Strict", monitor)

    assert status == 400
    assert "honourLabels" in response["message"]


def test_an_upgrade_restarts_the_pod_only_if_the_configuration_changed(
    server: Kubernetes, helm_command: Helm, tmp_path: Path
) -> None:
    with release(server, helm_command, tmp_path, WITHOUT_DASHBOARDS) as installed:

        def looked_at() -> tuple[Any, Any]:
            template = installed.get("Deployment")["spec"]["template"]
            config = next(each for each in installed.objects() if each["metadata"]["name"] == RELEASE and "data" in each)
            return template, yaml.safe_load(server.request("GET", path_of(config))[1]["data"]["config.yaml"])

        first = looked_at()
        installed.put("upgrade", WITHOUT_DASHBOARDS | {"service": {"port": 80}})
        second = looked_at()
        config = WITHOUT_DASHBOARDS["config"] | {"log": {"level": "debug"}}
        installed.put("upgrade", WITHOUT_DASHBOARDS | {"config": config})
        third = looked_at()
        installed.helm("rollback", RELEASE, "1")
        fourth = looked_at()

        assert installed.get("Service")["spec"]["ports"][0]["port"] == 9847
    assert first[1] == WITHOUT_DASHBOARDS["config"]
    assert second == first
    assert third[1] == config
    checksums = [each[0]["metadata"]["annotations"]["checksum/config"] for each in (first, third, fourth)]
    assert checksums[0] == checksums[2] != checksums[1]
    assert fourth == first


def test_shards_are_added_and_removed(server: Kubernetes, helm_command: Helm, tmp_path: Path) -> None:
    with release(server, helm_command, tmp_path, {}) as installed:
        path = f"/apis/apps/v1/namespaces/{installed.namespace}/deployments"

        def running() -> dict[str, str]:
            found = server.request("GET", path)[1]["items"]
            return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}

        alone = running()
        installed.put("upgrade", {"shards": 3})
        three = running()
        installed.put("upgrade", {"shards": 1})

        assert sorted(three) == ["fleet-exporter", "fleet-exporter-1", "fleet-exporter-2"]
        assert running() == alone == {"fleet-exporter": three["fleet-exporter"]}  # shard 0 is unchanged


def test_uninstall_removes_everything(server: Kubernetes, helm_command: Helm, tmp_path: Path) -> None:
    with release(server, helm_command, tmp_path, EVERYTHING) as installed:
        objects = installed.objects()
        assert {each["kind"] for each in objects} >= {
            "AlertmanagerConfig", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "Ingress", "NetworkPolicy",
            "PodDisruptionBudget", "PrometheusRule", "Role", "RoleBinding", "Service", "ServiceAccount", "ServiceMonitor",
        }  # fmt: skip
        assert [server.request("GET", path_of(each))[0] for each in objects] == [200] * len(objects)
        installed.helm("uninstall", RELEASE)

        assert [path_of(each) for each in objects if server.request("GET", path_of(each))[0] != 404] == []
        for kind in ("secrets", "configmaps", "serviceaccounts", "services"):
            assert server.request("GET", f"/api/v1/namespaces/{installed.namespace}/{kind}")[1]["items"] == [], kind


def test_two_releases_of_the_same_name_share_no_object(server: Kubernetes, helm_command: Helm, tmp_path: Path) -> None:
    with (
        release(server, helm_command, tmp_path, WITHOUT_DASHBOARDS) as first,
        release(server, helm_command, tmp_path, WITHOUT_DASHBOARDS) as second,
    ):
        names = [{path_of(each) for each in one.objects()} for one in (first, second)]

    assert names[0] & names[1] == set()


def test_a_release_fits_into_its_secret(server: Kubernetes, helm_command: Helm, tmp_path: Path) -> None:
    with release(server, helm_command, tmp_path, EVERYTHING) as installed:
        _, secret = server.request(
            "GET", f"/api/v1/namespaces/{installed.namespace}/secrets/sh.helm.release.v1.{RELEASE}.v1"
        )

    size = len(base64.b64decode(secret["data"]["release"]))
    assert size < 0.75 * _LARGEST_SECRET, size


def test_the_notes_name_the_next_step(server: Kubernetes, helm_command: Helm, tmp_path: Path) -> None:
    with release(server, helm_command, tmp_path, {}) as installed:
        bare = installed.helm("get", "notes", RELEASE)
        whole = installed.put("upgrade", WITHOUT_DASHBOARDS)

    assert f"kubectl -n {installed.namespace} port-forward svc/{RELEASE} 9847:9847" in bare
    assert "NEXT: no source is configured" in bare
    assert "Prometheus does not scrape it yet" in bare
    assert "NEXT" not in whole
    assert "Prometheus does not scrape it yet" not in whole
    assert f"needs the Secret {installed.namespace}/fleet-alerts" in whole
    assert "DNS and the Kubernetes API only" in whole
    assert "serviceMonitor.additionalLabels.release" in whole
    assert "prometheusRule.additionalLabels.release" in whole
    assert "additionalLabels" not in bare
