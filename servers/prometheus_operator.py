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

from servers import alertmanager, prometheus
from servers.cluster import OPERATOR_BUNDLE, Cluster

GROUP = "monitoring.coreos.com"
NAMESPACE = "default"
"""Where the bundle puts the operator."""
_REGISTRY = "quay.io/prometheus-operator"
_SERVERS = {"prometheus": prometheus.prepare, "alertmanager": alertmanager.prepare}
"""Each one's folder, which has a binary of its name."""


class _Loader(yaml.CSafeLoader):
    """YAML as Go reads it: `=` is a word, which PyYAML takes for a type that it does not know."""


_Loader.yaml_implicit_resolvers = {
    key: found for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items() if key != "="
}


def prepare() -> None:
    """Get what its images are made of, besides the cluster's binaries. Raises ServerMissing."""
    for folder in _SERVERS.values():
        folder()


def install(cluster: Cluster) -> None:
    """Load the images, create the operator with its kinds, and wait until it runs."""
    objects = [each for each in yaml.load_all((cluster.binaries / OPERATOR_BUNDLE).read_text(), Loader=_Loader) if each]
    _load_images(cluster, str([each for each in objects if each["kind"] == "Deployment"]))
    for each in objects:
        cluster.create(each)
    cluster.wait_available(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/prometheus-operator")


def _load_images(cluster: Cluster, deployment: str) -> None:
    for name, binary in (("prometheus-operator", "operator"), ("prometheus-config-reloader", "prometheus-config-reloader")):
        asked = re.search(rf"{_REGISTRY}/{name}:v[\d.]+", deployment)
        assert asked is not None
        cluster.load_binary(asked[0], cluster.binaries / binary)
    for name, folder in _SERVERS.items():
        cluster.load_binary(_image(name), folder() / name)


def _image(name: str) -> str:
    return f"quay.io/prometheus/{name}:v{version(_SERVERS[name]() / name)}"


def version(binary: Path) -> str:
    """The version that a Prometheus component says it is, such as 2.42.0."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    shown = re.search(r"version (\d+\.\d+\.\d+)", done.stdout + done.stderr)
    return shown[1] if shown else "0.0.0"


def create_monitoring(cluster: Cluster, namespace: str, *, selector: Mapping[str, str]) -> None:
    """A Prometheus and an Alertmanager named `fleet` that take objects with these labels from every namespace."""
    anything: dict[str, Any] = {}
    chosen = {"matchLabels": dict(selector)}
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "fleet", "namespace": namespace}})
    for each in _rights(namespace):
        cluster.create(each)
    monitors = {"serviceMonitorSelector": chosen, "serviceMonitorNamespaceSelector": anything}
    rules = {"ruleSelector": chosen, "ruleNamespaceSelector": anything}
    alerting = {"alerting": {"alertmanagers": [{"namespace": namespace, "name": "alertmanager-operated", "port": "web"}]}}
    account = {"serviceAccountName": "fleet"}
    cluster.create(_custom("Prometheus", namespace, **account, **monitors, **rules, **alerting))
    configs = {"alertmanagerConfigSelector": chosen, "alertmanagerConfigNamespaceSelector": anything}
    # Else it would narrow each AlertmanagerConfig down to alerts of its own namespace.
    matching = {"alertmanagerConfigMatcherStrategy": {"type": "None"}}
    cluster.create(_custom("Alertmanager", namespace, **configs, **matching))


def wait_running(cluster: Cluster, namespace: str) -> None:
    """Return when the pods of both are ready."""
    for name in _SERVERS:
        cluster.wait_available(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}-fleet", deadline=180)


def _custom(kind: str, namespace: str, **spec: Any) -> dict[str, Any]:
    name = kind.lower()
    user = {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 2000}
    common = {"replicas": 1, "image": _image(name), "version": _image(name).rpartition(":")[2], "securityContext": user}
    meta = {"name": "fleet", "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": meta, "spec": {**common, **spec}}


def _rights(namespace: str) -> list[dict[str, Any]]:
    """What a Prometheus may read to find its targets, as the operator's documentation has it."""
    group, verbs = "rbac.authorization.k8s.io", ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["nodes", "services", "endpoints", "pods"], "verbs": verbs},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]
    meta = {"name": f"prometheus-{namespace}"}
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": meta["name"]}
    subject = {"kind": "ServiceAccount", "name": "fleet", "namespace": namespace}
    binding = {"roleRef": reference, "subjects": [subject]}
    return [role, {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": meta, **binding}]
