"""Pods by workload, followed by list and watch; nodes and the metrics API where the account may read them.

A scrape asks nothing but the metrics API, and that only when it is asked for; without it its series are absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
from pydantic import PrivateAttr

from exporter.clients.kubernetes import Cluster, NotServed, Watch, location
from exporter.config.options import Count, Names, option
from exporter.errors import SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import LegacySource
from exporter.sources.workloads.pod import Resources, used_of
from exporter.sources.workloads.store import METRICS, Nodes, Pods


class Workloads(LegacySource):
    """One Kubernetes cluster, all namespaces or some."""

    kind: ClassVar[str] = "workloads"
    metrics: ClassVar[tuple[Metric, ...]] = METRICS

    max_series: Annotated[Count, option("Maximum series per collection; the excess is dropped and counted.")] = 500_000
    kubeconfig: Annotated[Path | None, option("kubeconfig file.")] = None
    context: Annotated[str, option("Context of the kubeconfig; default: its current context.")] = ""
    in_cluster: Annotated[bool, option("Use the service account of the exporter's own pod.")] = False
    namespaces: Annotated[Names, option("Namespaces to watch; default: all.")] = ()
    expected: Annotated[Names, option("Workloads to report as up, degraded, down or absent, as namespace/name.")] = ()
    nodes: Annotated[bool, option("Also watch nodes, for the GPUs of each pool.")] = False
    pool_label: Annotated[str, option("Node label that names the pool.")] = "node.kubernetes.io/instance-type"
    usage: Annotated[bool, option("Read CPU and memory usage from metrics.k8s.io.")] = False

    _pods: Pods = PrivateAttr(default_factory=Pods)
    _nodes: Nodes | None = PrivateAttr(None)
    _cluster: Cluster | None = PrivateAttr(None)
    _watches: tuple[Watch, ...] = PrivateAttr(())
    _node_watch: Watch | None = PrivateAttr(None)
    _started: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    @property
    def enabled(self) -> bool:
        return self.in_cluster or self.kubeconfig is not None

    @property
    def location(self) -> str:
        return location(self.kubeconfig, self.context)

    async def run(self) -> None:
        self._cluster = cluster = Cluster(self.kubeconfig, context=self.context, timeout=self.timeout)
        self._pods = Pods()
        scopes = [f"namespaces/{name}/" for name in self.namespaces] or [""]
        self._watches = tuple(Watch(cluster, f"/api/v1/{scope}pods", self._pods) for scope in scopes)
        if self.nodes:
            self._nodes = Nodes(self.pool_label)
            self._node_watch = Watch(cluster, "/api/v1/nodes", self._nodes)
        self._started.set()
        every = [*self._watches, *([self._node_watch] if self._node_watch else [])]
        try:
            async with asyncio.TaskGroup() as group:
                for watch in every:
                    group.create_task(watch.run())
        finally:
            await cluster.close()

    async def wait_synced(self) -> None:
        await self._started.wait()
        for watch in self._watches:
            await watch.wait_synced()

    async def collect(self) -> Iterable[Sample]:
        await self._started.wait()
        for watch in self._watches:
            if watch.problem is not None:
                raise watch.problem
        found = [*self._pods.samples(), *self._pods.expected(self.expected)]
        if self._nodes is not None and self._node_watch is not None and self._node_watch.problem is None:
            found.extend(self._nodes.samples(self._pods.gpus_by_node()))
        if self.usage:
            found.extend(await self._used())
        return found

    async def _used(self) -> Iterable[Sample]:
        """What is in use; nothing where the metrics API is not there, forbidden or slow: that is no fault of the pods'."""
        assert self._cluster is not None
        used: dict[tuple[str, str], Resources] = {}
        for scope in [f"namespaces/{name}/" for name in self.namespaces] or [""]:
            try:
                reply = await self._cluster.get(f"/apis/metrics.k8s.io/v1beta1/{scope}pods", {})
                try:
                    used |= used_of(await reply.read())
                finally:
                    reply.close()
            except (NotServed, SourceError, OSError, TimeoutError, msgspec.DecodeError, msgspec.ValidationError):
                return ()
        return self._pods.used(used)
