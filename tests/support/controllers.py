"""Deployments and their like on a real API server without a controller manager."""

from __future__ import annotations

from typing import Any

from servers.kubernetes import Kubernetes

MERGE = "application/merge-patch+json"
LABELS = {"app": "planning"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "planning:1"}]}}


class Apps:
    """Controllers in one namespace; their status is set as the controller manager would."""

    def __init__(self, server: Kubernetes, namespace: str) -> None:
        self._server = server
        self._path = f"/apis/apps/v1/namespaces/{namespace}"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    def create(self, plural: str, kind: str, **spec: Any) -> None:
        body = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": "planning"},
            "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec},
        }
        self._server.create(f"{self._path}/{plural}", body)

    def patch(self, plural: str, part: str = "", **body: Any) -> None:
        path = f"{self._path}/{plural}/planning{part}"
        assert self._server.request("PATCH", path, body, content_type=MERGE)[0] == 200

    def available(self, plural: str, number: int) -> None:
        self.patch(plural, "/status", status=dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), number))

    def delete(self, plural: str) -> None:
        assert self._server.request("DELETE", f"{self._path}/{plural}/planning")[0] == 200

    def ready_pod(self) -> None:
        """One pod of the Deployment, ready."""
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "planning-abc12", "uid": "u", "controller": True}
        meta = {"name": "planning-1", "labels": LABELS | {"pod-template-hash": "abc12"}, "ownerReferences": [owner]}
        self._server.create(self._pods, {"metadata": meta, "spec": TEMPLATE["spec"]})
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        path = f"{self._pods}/planning-1/status"
        assert self._server.request("PATCH", path, {"status": status}, content_type=MERGE)[0] == 200
