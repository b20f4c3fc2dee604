"""Options of the source `rayjob`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from exporter.config.options import Count, Names, option
from exporter.source import SourceOptions


class RayjobOptions(SourceOptions):
    """One Kubernetes cluster, all namespaces or some."""

    max_series: Annotated[Count, option("Maximum series per collection; the excess is dropped and counted.")] = 1_000_000
    kubeconfig: Annotated[Path | None, option("kubeconfig file.")] = None
    context: Annotated[str, option("Context of the kubeconfig; default: its current context.")] = ""
    in_cluster: Annotated[bool, option("Use the service account of the exporter's own pod.")] = False
    namespaces: Annotated[Names, option("Namespaces to watch; default: all.")] = ()
    agent_label: Annotated[str, option("Label or annotation of a RayJob that names its agent.")] = "fleet/agent"
    task_label: Annotated[str, option("Label or annotation of a RayJob that names its task.")] = "fleet/task"
    role_label: Annotated[str, option("Label or annotation of a RayJob that names its role.")] = "fleet/role"
    story_label: Annotated[str, option("Label or annotation of a RayJob that names its story.")] = "fleet/story"

    dashboard: Annotated[str, option("Ray dashboard to read logs from; default: the RayJob's own.")] = ""

    @property
    def enabled(self) -> bool:
        return self.in_cluster or self.kubeconfig is not None
