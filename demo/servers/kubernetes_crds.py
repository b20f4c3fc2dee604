"""KubeRay's two custom resource definitions, as little of them as a server needs: any spec, any status."""

from __future__ import annotations

from typing import Any

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "ray.io"
KINDS = {"rayjobs": "RayJob", "rayclusters": "RayCluster"}


def ray_crds() -> list[dict[str, Any]]:
    """apiextensions.k8s.io/v1 objects for RayJob and RayCluster v1 with a status subresource."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}}
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": schema}
                ],
            },
        }
        for plural, kind in KINDS.items()
    ]
