"""Pods by workload from list and watch; nodes and the metrics API if permitted.

A scrape makes no request, except to the metrics API if `usage` is set; otherwise the usage series are absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from exporter.clients.kubernetes import Cluster, NotServed, Watch, location
from exporter.config.options import Count, Names, option
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, SourceOptions, Target
from exporter.sources.workloads import samples
from exporter.sources.workloads.pod import Resources, Workload, used_of
from exporter.sources.workloads.samples import WorkloadsSnapshot
from exporter.sources.workloads.store import Nodes, Pods


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
    usage: Annotated[bool, option("Read CPU and memory usage from metrics.k8s.io.")] = False

    @property
    def enabled(self) -> bool:
        return self.in_cluster or self.kubeconfig is not None


class Workloads(Source, Target[WorkloadsSnapshot]):
    """Watches the pods of one Kubernetes cluster."""

    kind: ClassVar[str] = "workloads"
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS
    options_type: ClassVar[type[SourceOptions]] = WorkloadsOptions

    def __init__(self, options: WorkloadsOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._scopes = [f"namespaces/{name}/" for name in options.namespaces] or [""]
        self._cluster = Cluster(options.kubeconfig, context=options.context, timeout=options.timeout)
        self._pods, self._nodes = Pods(), Nodes(options.pool_label)
        self._watches = tuple(Watch(self._cluster, f"/api/v1/{scope}pods", self._pods) for scope in self._scopes)
        self._node_watch = Watch(self._cluster, "/api/v1/nodes", self._nodes) if options.nodes else None

    @property
    def location(self) -> str:
        return location(self.options.kubeconfig, self.options.context)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for watch in (*self._watches, *([self._node_watch] if self._node_watch else [])):
                    group.create_task(watch.run())
        finally:
            await self._cluster.close()

    async def wait_synced(self) -> None:
        for watch in self._watches:
            await watch.wait_synced()

    async def collect(self) -> WorkloadsSnapshot:
        for watch in self._watches:
            if watch.problem is not None:
                raise watch.problem.again()
        has_nodes = self._node_watch is not None and self._node_watch.problem is None
        return WorkloadsSnapshot(
            lines=self._pods.lines(),
            expected=self._pods.expected(self.options.expected),
            pools=self._nodes.pools(self._pods.gpus_by_node()) if has_nodes else {},
            used=await self._used() if self.options.usage else {},
        )

    def samples(self, snapshot: WorkloadsSnapshot) -> Iterable[Sample]:
        return samples.samples(snapshot)

    async def _used(self) -> Mapping[Workload, Resources]:
        """Usage by workload; empty if the metrics API is missing, forbidden or slow, which does not fail the source."""
        used: dict[tuple[str, str], Resources] = {}
        for scope in self._scopes:
            try:
                reply = await self._cluster.get(f"/apis/metrics.k8s.io/v1beta1/{scope}pods", {})
                try:
                    used |= used_of(await reply.read())
                finally:
                    reply.close()
            except (NotServed, SourceError, OSError, TimeoutError, msgspec.DecodeError, msgspec.ValidationError):
                return {}
        return self._pods.used(used)
