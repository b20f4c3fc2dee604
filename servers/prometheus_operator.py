"""The Prometheus operator in a cluster with pods, with a Prometheus and an Alertmanager that it configures.

Built with the cluster; its own `bundle.yaml` is applied unchanged, with images made here under the names it asks for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

from servers import alertmanager
from servers.cluster import OPERATOR_BUNDLE, Cluster

GROUP = "monitoring.coreos.com"
NAMESPACE = "default"
"""Where the bundle puts the operator."""
_REGISTRY = "quay.io/prometheus-operator"


class _Loader(yaml.CSafeLoader):
    """YAML as Go reads it: `=` is a word, which PyYAML takes for a type that it does not know."""


_Loader.yaml_implicit_resolvers = {
    key: found for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items() if key != "="
}


def prepare() -> None:
    """Get what its images are made of, besides the cluster's binaries. Raises ServerMissing."""
    alertmanager.prepare()


def install(cluster: Cluster) -> None:
    """Load the images, create the operator with its kinds, and wait until it runs."""
    objects = [each for each in yaml.load_all((cluster.binaries / OPERATOR_BUNDLE).read_text(), Loader=_Loader) if each]
    _load_images(cluster, str([each for each in objects if each["kind"] == "Deployment"]))
    definitions = [each for each in objects if each["kind"] == "CustomResourceDefinition"]
    for each in definitions:
        cluster.create(each)
    for each in definitions:  # at its start, the operator gives up on kinds that are not served yet
        cluster.wait_served(each["spec"]["group"], each["spec"]["versions"][0]["name"], each["spec"]["names"]["kind"])
    for each in objects:
        cluster.create(each)
    cluster.wait_available(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/prometheus-operator")


def _load_images(cluster: Cluster, deployment: str) -> None:
    for name, binary in (("prometheus-operator", "operator"), ("prometheus-config-reloader", "prometheus-config-reloader")):
        asked = re.search(rf"{_REGISTRY}/{name}:v[\d.]+", deployment)
        assert asked is not None
        cluster.load_binary(asked[0], cluster.binaries / binary)
    cluster.load_binary(_image(), alertmanager.prepare() / "alertmanager")


def _image() -> str:
    """Alertmanager's, with the version of the binary as its tag."""
    shown = subprocess.run(
        [alertmanager.prepare() / "alertmanager", "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"version (\d+\.\d+\.\d+)", shown.stdout + shown.stderr)
    assert found is not None
    return f"quay.io/prometheus/alertmanager:v{found[1]}"


def create_monitoring(cluster: Cluster, namespace: str, *, selector: Mapping[str, str]) -> None:
    """A Prometheus and an Alertmanager named `fleet` that take objects with these labels from every namespace.

    The operator writes the Prometheus's configuration and rules, but no pod of it runs: Debian's Prometheus cannot
    discover targets in Kubernetes. Returns when the Alertmanager is ready.
    """
    anything: dict[str, Any] = {}
    chosen = {"matchLabels": dict(selector)}
    monitors = {"serviceMonitorSelector": chosen, "serviceMonitorNamespaceSelector": anything}
    rules = {"ruleSelector": chosen, "ruleNamespaceSelector": anything}
    cluster.create(_custom("Prometheus", namespace, replicas=0, **monitors, **rules))
    configs = {"alertmanagerConfigSelector": chosen, "alertmanagerConfigNamespaceSelector": anything}
    # Else it would narrow each AlertmanagerConfig down to alerts of its own namespace.
    matching = {"alertmanagerConfigMatcherStrategy": {"type": "None"}}
    user = {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 2000}
    own = {"replicas": 1, "image": _image(), "version": _image().rpartition(":")[2], "securityContext": user}
    cluster.create(_custom("Alertmanager", namespace, **own, **configs, **matching))
    cluster.wait_available(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/alertmanager-fleet", deadline=180)


def _custom(kind: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": "fleet", "namespace": namespace}, "spec": spec}
