"""Pods and replicas by workload, kept current by list and watch; nodes and the metrics API if configured.

A scrape makes no request, except to the metrics API if `usage` is set; otherwise the usage series are absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec

from exporter.clients.kubernetes import ApiServer, Gone, NotServed, location
from exporter.clients.kubernetes_watch import MAX_RESPONSE_BYTES, Watch
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.workloads import WorkloadsOptions as WorkloadsOptions
from exporter.sources.workloads import samples
from exporter.sources.workloads.controllers import PLURALS, Controllers
from exporter.sources.workloads.pod import Workload
from exporter.sources.workloads.resources import Resources, used_of
from exporter.sources.workloads.samples import WorkloadsSnapshot
from exporter.sources.workloads.store import Nodes, Pods


class Workloads(Source, Target[WorkloadsSnapshot]):
    """Watches the pods of one Kubernetes cluster."""

    kind: ClassVar[str] = "workloads"
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    def __init__(self, options: WorkloadsOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._scopes = [f"namespaces/{name}/" for name in options.namespaces] or [""]
        self._cluster = ApiServer(options.kubeconfig, context=options.context, timeout=options.timeout)
        self._pods = Pods(options.gpu_resources)
        self._nodes = Nodes(options.pool_label, options.gpu_resources)
        self._watches = tuple(Watch(self._cluster, f"/api/v1/{scope}pods", self._pods) for scope in self._scopes)
        self._lookups: dict[str, tuple[Watch, ...]] = {
            plural: self._controllers(plural, Controllers(kind, self._pods.set_replicas)) for plural, kind in PLURALS.items()
        }
        """The watches of what the account may not be allowed to read, by lookup."""
        if options.nodes:
            self._lookups["nodes"] = (Watch(self._cluster, "/api/v1/nodes", self._nodes),)

    def _controllers(self, plural: str, store: Controllers) -> tuple[Watch, ...]:
        return tuple(Watch(self._cluster, f"/apis/apps/v1/{scope}{plural}", store) for scope in self._scopes)

    @property
    def location(self) -> str:
        return location(self.options.kubeconfig, self.options.context)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._every_watch():
                    group.create_task(watch.run())
        finally:
            await self._cluster.close()

    def _every_watch(self) -> Iterable[Watch]:
        yield from self._watches
        for watches in self._lookups.values():
            yield from watches

    async def wait_synced(self) -> None:
        for watch in self._every_watch():
            await watch.wait_synced()

    async def collect(self) -> WorkloadsSnapshot:
        for watch in self._watches:
            if watch.problem is not None:
                raise watch.problem.again()
        lookups = {
            lookup: all(watch.served and watch.problem is None for watch in watches)
            for lookup, watches in self._lookups.items()
        }
        self._pods.set_unread(frozenset(kind for plural, kind in PLURALS.items() if not lookups[plural]))
        used: Mapping[Workload, Resources] = {}
        if self.options.usage:
            found = await self._used()
            used, lookups["usage"] = found or {}, found is not None
        return WorkloadsSnapshot(
            lines=self._pods.lines(),
            expected=self._pods.expected(self.options.expected),
            pools=self._nodes.pools(self._pods.gpus_by_node()) if lookups.get("nodes") else {},
            used=used,
            lookups=lookups,
        )

    def samples(self, snapshot: WorkloadsSnapshot) -> Iterable[Sample]:
        return samples.samples(snapshot)

    async def _used(self) -> Mapping[Workload, Resources] | None:
        """Usage by workload; None if the metrics API is missing, forbidden or slow, which is no failure of the source."""
        used: dict[tuple[str, str], Resources] = {}
        for scope in self._scopes:
            try:
                path = f"/apis/metrics.k8s.io/v1beta1/{scope}pods"
                used |= used_of(await self._cluster.read(path, limit=MAX_RESPONSE_BYTES))
            except (Gone, NotServed, SourceError, msgspec.DecodeError, UnicodeDecodeError):
                return None
        return self._pods.used(used)
