"""Options of the source `workloads`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from exporter.config.options import Count, Names, option
from exporter.source import SourceOptions

GPU_RESOURCES: Final = ("*/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-*", "gpu.intel.com/i915", "gpu.intel.com/xe")
"""Names of extended resources that are GPUs by default: of NVIDIA, AMD, Intel, and others that follow the convention."""


class WorkloadsOptions(SourceOptions):
    """One Kubernetes cluster, all namespaces or some."""

    max_series: Annotated[Count, option("Maximum series per collection; the excess is dropped and counted.")] = 500_000
    kubeconfig: Annotated[Path | None, option("kubeconfig file.")] = None
    context: Annotated[str, option("Context of the kubeconfig; default: its current context.")] = ""
    in_cluster: Annotated[bool, option("Use the service account of the exporter's own pod.")] = False
    namespaces: Annotated[Names, option("Namespaces to watch; default: all.")] = ()
    expected: Annotated[Names, option("Workloads to report as up, degraded, down or absent, as namespace/name.")] = ()
    nodes: Annotated[bool, option("Also watch nodes, for the GPUs of each pool.")] = False
    pool_label: Annotated[str, option("Node label that names the pool.")] = "node.kubernetes.io/instance-type"
    gpu_resources: Annotated[Names, option("Resources counted as GPUs; * matches any text.")] = GPU_RESOURCES
    usage: Annotated[bool, option("Read CPU and memory usage from metrics.k8s.io.")] = False

    @property
    def enabled(self) -> bool:
        return self.in_cluster or self.kubeconfig is not None
