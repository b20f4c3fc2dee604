"""The Prometheus operator in a cluster with pods, with a Prometheus and an Alertmanager that it configures.

Built with the cluster; its own `bundle.yaml` is applied unchanged, with images made here under the names it asks for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from servers import alertmanager, go
from servers.cache import Progress, cached, silent
from servers.cluster import OPERATOR_BUNDLE, Cluster

GROUP = "monitoring.coreos.com"
NAMESPACE = "default"
"""Where the bundle puts the operator."""
_REGISTRY = "quay.io/prometheus-operator"
_BUILD = Path(__file__).parent / "prometheus_build"
_MODULE = "github.com/prometheus/prometheus"
_ACCOUNT = "prometheus"


class _Loader(yaml.CSafeLoader):
    """YAML as Go reads it: `=` is a word, which PyYAML takes for a type that it does not know."""


_Loader.yaml_implicit_resolvers = {
    key: found for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items() if key != "="
}


def prepare(progress: Progress = silent) -> None:
    """Install the contents of its images, in addition to the cluster's binaries. Raises ServerMissing."""
    alertmanager.prepare(progress)
    _prometheus(progress)


def _prometheus(progress: Progress = silent) -> Path:
    """A Prometheus that discovers targets in Kubernetes, which Debian's cannot. Raises ServerMissing."""

    def build(folder: Path) -> None:
        stamp = f"-X github.com/prometheus/common/version.Version={_version()}"
        # No other service discovery: each brings the client library of its cloud.
        tags = "remove_all_sd,enable_kubernetes_sd,netgo"
        go.build(_BUILD, [f"{_MODULE}/cmd/prometheus"], folder, ldflags=stamp, tags=tags, progress=progress)

    return cached(f"prometheus-kubernetes-{_version()}", build, progress) / "prometheus"


def _version() -> str:
    """Prometheus's, such as 3.15.0; its module counts v0.315.0."""
    found = re.search(rf"{re.escape(_MODULE)} v0\.(\d)(\d\d)\.(\d+)", (_BUILD / "go.mod").read_text())
    assert found is not None
    return f"{found[1]}.{int(found[2])}.{found[3]}"


def install(cluster: Cluster) -> None:
    """Load the images, create the operator with its kinds, and wait until it runs."""
    objects = [each for each in yaml.load_all((cluster.binaries / OPERATOR_BUNDLE).read_text(), Loader=_Loader) if each]
    _load_images(cluster, str([each for each in objects if each["kind"] == "Deployment"]))
    definitions = [each for each in objects if each["kind"] == "CustomResourceDefinition"]
    for each in definitions:
        cluster.create(each)
    for each in definitions:  # at startup, the operator ignores kinds that are not served yet
        cluster.wait_served(each["spec"]["group"], each["spec"]["versions"][0]["name"], each["spec"]["names"]["kind"])
    for each in objects:
        cluster.create(each)
    cluster.wait_available(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/prometheus-operator")


def _load_images(cluster: Cluster, deployment: str) -> None:
    for name, binary in (("prometheus-operator", "operator"), ("prometheus-config-reloader", "prometheus-config-reloader")):
        asked = re.search(rf"{_REGISTRY}/{name}:v[\d.]+", deployment)
        assert asked is not None
        cluster.load_binary(asked[0], cluster.binaries / binary)
    cluster.load_binary(_image("prometheus", _version()), _prometheus())
    cluster.load_binary(_image("alertmanager", _alertmanager_version()), alertmanager.prepare() / "alertmanager")


def _image(name: str, version: str) -> str:
    return f"quay.io/prometheus/{name}:v{version}"


def _alertmanager_version() -> str:
    shown = subprocess.run(
        [alertmanager.prepare() / "alertmanager", "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"version (\d+\.\d+\.\d+)", shown.stdout + shown.stderr)
    assert found is not None
    return found[1]


def create_monitoring(cluster: Cluster, namespace: str, *, selector: Mapping[str, str]) -> None:
    """A Prometheus and an Alertmanager named `fleet` that take objects with these labels from every namespace.

    The Prometheus sends its alerts to the Alertmanager. Returns when both are ready.
    """
    for each in _permissions(namespace):
        cluster.create(each)
    anything: dict[str, Any] = {}
    chosen = {"matchLabels": dict(selector)}
    monitors = {"serviceMonitorSelector": chosen, "serviceMonitorNamespaceSelector": anything}
    rules = {"ruleSelector": chosen, "ruleNamespaceSelector": anything, "evaluationInterval": "5s"}
    alerting = {"alertmanagers": [{"namespace": namespace, "name": "alertmanager-operated", "port": "web"}]}
    options = {"serviceAccountName": _ACCOUNT, "alerting": alerting, **monitors, **rules}
    cluster.create(_custom("Prometheus", namespace, _version(), **options))
    configs = {"alertmanagerConfigSelector": chosen, "alertmanagerConfigNamespaceSelector": anything}
    # By default it restricts each AlertmanagerConfig to alerts of the same namespace.
    matching = {"alertmanagerConfigMatcherStrategy": {"type": "None"}}
    cluster.create(_custom("Alertmanager", namespace, _alertmanager_version(), **configs, **matching))
    for name in ("prometheus-fleet", "alertmanager-fleet"):
        cluster.wait_available(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}", deadline=180)


def _custom(kind: str, namespace: str, version: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": "fleet", "namespace": namespace}
    user = {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 2000}
    own = {"replicas": 1, "image": _image(kind.lower(), version), "version": f"v{version}", "securityContext": user}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": meta, "spec": own | spec}


def _permissions(namespace: str) -> list[dict[str, Any]]:
    """The ServiceAccount of the Prometheus and what it may read, as in the operator's documentation."""
    group = "rbac.authorization.k8s.io"
    discovered = {"": ["nodes", "services", "endpoints", "pods"], "discovery.k8s.io": ["endpointslices"]}
    verbs = ["get", "list", "watch"]
    rules = [{"apiGroups": [name], "resources": kinds, "verbs": verbs} for name, kinds in discovered.items()]
    role = {"apiGroup": group, "kind": "ClusterRole", "name": _ACCOUNT}
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": namespace}
    named = {"metadata": {"name": _ACCOUNT}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _ACCOUNT, "namespace": namespace}},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", **named, "rules": rules},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", **named, "roleRef": role, "subjects": [subject]},
    ]
