"""Releases of the chart on a real API server: install, upgrade, uninstall, and the token of the ServiceAccount."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.kubernetes import Kubernetes
from servers.kubernetes_crds import CRDS, MONITORING_GROUP, monitoring_crds
from servers.process import wait_for
from tests.deploy.helm.conftest import CHART, RELEASE, Helm, Objects, documents

_NUMBERS = itertools.count(1)

_PLURALS = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}


def path_of(each: dict[str, Any], *, name: bool = True) -> str:
    """The object's place in the REST API, or the place of all of its kind."""
    version, meta = each["apiVersion"], each["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    scope = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    plural = _PLURALS.get(each["kind"], f"{each['kind'].lower()}s")
    return f"{root}{scope}/{plural}" + (f"/{meta['name']}" if name else "")


def apply_monitoring_crds(server: Kubernetes) -> None:
    """Make the Prometheus Operator's kinds known; returns when all are served."""
    paths = []
    for crd in monitoring_crds():
        server.create(CRDS, crd)
        spec = crd["spec"]
        paths.append(f"/apis/{MONITORING_GROUP}/{spec['versions'][0]['name']}/{spec['names']['plural']}")
    wait_for(lambda: all(server.request("GET", path)[0] == 200 for path in paths), what="the operator's kinds to be served")


@dataclass(frozen=True)
class Release:
    """One release in its own namespace; `helm()` runs a command on it."""

    server: Kubernetes
    namespace: str
    run: Helm
    folder: Path

    def helm(self, *arguments: str | Path) -> str:
        done = self.run(*arguments, "--namespace", self.namespace, kubeconfig=self.server.kubeconfig)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def put(self, command: str, values: dict[str, Any]) -> str:
        """`helm install` or `helm upgrade` with these values; returns its output."""
        file = self.folder / "values.yaml"
        file.write_text(json.dumps(values))
        return self.helm(command, RELEASE, CHART, "--values", file)

    def objects(self) -> Objects:
        """The objects that Helm lists as installed."""
        return documents(self.helm("get", "manifest", RELEASE))

    def get(self, kind: str) -> dict[str, Any]:
        """The release's first object of a kind, as the server has it."""
        path = next(path_of(each) for each in self.objects() if each["kind"] == kind)
        status, found = self.server.request("GET", path)
        assert status == 200, path
        return dict(found)

    def token(self) -> str:
        """A token for the pod's ServiceAccount, as the kubelet would ask for one."""
        account = self.get("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        status, response = self.server.request("POST", path, {"spec": {"expirationSeconds": 3600}})
        assert status == 201, response
        return str(response["status"]["token"])


def namespace(server: Kubernetes, name: str) -> str:
    """A namespace of a test's own: without controllers a deleted one would stay."""
    name = f"helm-{name}-{next(_NUMBERS)}"
    server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@contextmanager
def release(server: Kubernetes, helm: Helm, folder: Path, values: dict[str, Any]) -> Iterator[Release]:
    """An installed chart, removed afterwards."""
    installed = Release(server, namespace(server, "release"), helm, folder)
    installed.put("install", values)
    try:
        yield installed
    finally:
        installed.helm("uninstall", RELEASE, "--ignore-not-found")
