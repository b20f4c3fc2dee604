"""KubeRay's RayJobs and RayClusters (`ray.io/v1`), followed by list and watch; a scrape asks the API nothing.

A shard keeps and shows the objects that are its own by namespace and name, which are known before an object is made and
stay when it is made anew. It is told of all of them, as the API cannot select by a hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import PrivateAttr

from exporter.clients.kubernetes import Cluster, NotServed, ObjectStore, Watch
from exporter.config.options import Count, Names, option
from exporter.errors import Reason, SourceError
from exporter.events.model import role_of
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.source import LegacyShardedSource
from exporter.sources.rayjob import clusters, jobs, logs
from exporter.sources.rayjob.clusters import Clusters
from exporter.sources.rayjob.jobs import Correlation, Jobs
from exporter.sources.rayjob.objects import ray_job

SERVED = gauge(
    "ray_kind_served", "Whether the Kubernetes API serves the kind, that is, whether KubeRay is installed.", "kind"
)

_KINDS = {"rayjobs": "RayJob", "rayclusters": "RayCluster"}


class Rayjob(LegacyShardedSource):
    """One Kubernetes cluster, all namespaces or some."""

    kind: ClassVar[str] = "rayjob"
    metrics: ClassVar[tuple[Metric, ...]] = (*jobs.METRICS, *clusters.METRICS, SERVED)

    max_series: Annotated[Count, option("Series kept of one reading; what is over is dropped and counted.")] = 1_000_000
    kubeconfig: Annotated[Path | None, option("kubeconfig file.")] = None
    context: Annotated[str, option("Context of the kubeconfig, another than its current one.")] = ""
    in_cluster: Annotated[bool, option("Use the service account of the pod this runs in.")] = False
    namespaces: Annotated[Names, option("Namespaces to follow; all of them when none is named.")] = ()
    agent_label: Annotated[str, option("Label or annotation of a RayJob that names its agent.")] = "fleet/agent"
    task_label: Annotated[str, option("Label or annotation of a RayJob that names its task.")] = "fleet/task"
    role_label: Annotated[str, option("Label or annotation of a RayJob that names its role.")] = "fleet/role"
    story_label: Annotated[str, option("Label or annotation of a RayJob that names its story.")] = "fleet/story"

    dashboard: Annotated[str, option("Ray dashboard to read logs from, another than a RayJob's own.")] = ""

    _cluster: Cluster | None = PrivateAttr(None)
    _jobs: Jobs | None = PrivateAttr(None)
    _clusters: Clusters = PrivateAttr(default_factory=Clusters)
    _watches: tuple[tuple[str, Watch], ...] = PrivateAttr(())
    _started: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    @property
    def enabled(self) -> bool:
        return self.in_cluster or self.kubeconfig is not None

    async def run(self) -> None:
        self._cluster = cluster = Cluster(self.kubeconfig, context=self.context, timeout=self.timeout)
        correlation = Correlation(self.agent_label, self.task_label, self.role_label, self.story_label)
        self._jobs, self._clusters = Jobs(correlation, self._shard), Clusters(self._shard)
        stores: dict[str, ObjectStore[Any]] = {"rayjobs": self._jobs, "rayclusters": self._clusters}
        scopes = [f"namespaces/{name}/" for name in self.namespaces] or [""]
        self._watches = tuple(
            (plural, Watch(cluster, f"/apis/ray.io/v1/{scope}{plural}", store))
            for plural, store in stores.items()
            for scope in scopes
        )
        self._started.set()
        try:
            async with asyncio.TaskGroup() as group:
                for plural, watch in self._watches:
                    group.create_task(watch.run(), name=f"watch {plural}")
        finally:
            await cluster.close()

    async def wait_synced(self) -> None:
        await self._started.wait()
        for _, watch in self._watches:
            await watch.wait_synced()

    async def collect(self) -> Iterable[Sample]:
        await self._started.wait()
        for _, watch in self._watches:
            if watch.problem is not None:
                raise watch.problem
        found = [*(self._jobs.samples() if self._jobs is not None else ()), *self._clusters.samples()]
        if self._shard.is_first:
            served = {plural: bool(watch.served) for plural, watch in self._watches}
            found.extend(SERVED(known, kind=_KINDS[plural]) for plural, known in served.items())
        return found

    def jobs(self) -> list[dict[str, Any]]:
        """Every RayJob of this shard, and for whom it runs; times in RFC 3339. Raises SourceError until all are known."""
        for _, watch in self._watches:
            if watch.problem is not None:
                raise watch.problem
        return [
            {
                "namespace": namespace,
                "name": name,
                "status": row.status,
                "deployment_status": row.state,
                "started": _iso(row.started),
                "ended": _iso(row.ended),
                "agent": row.agent or None,
                "task": row.task or None,
                "role": row.role or None,
                "story": row.story or None,
            }
            for (namespace, name), row in (self._jobs.view() if self._jobs is not None else ())
        ]

    async def job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """One RayJob as the API server has it now, and its last log lines; None where there is none. Raises SourceError."""
        if self._cluster is None:
            raise SourceError(Reason.UNREACHABLE, "the Kubernetes API is not connected yet")
        path = f"/apis/ray.io/v1/namespaces/{quote(namespace, safe='')}/rayjobs/{quote(name, safe='')}"
        try:
            reply = await self._cluster.get(path, {})
            try:
                found = ray_job(await reply.read())
            finally:
                reply.close()
        except NotServed:
            return None
        status, meta = found.status, found.metadata
        dashboard, lines, problem = self.dashboard or status.dashboard_url, None, None
        if not dashboard or not status.job_id:
            problem = "the RayJob names no dashboard or no job yet"
        else:
            try:
                lines = await logs.read(dashboard, status.job_id)
            except logs.LogsMissing as missing:
                problem = str(missing)
        return {
            "namespace": meta.namespace,
            "name": meta.name,
            "status": status.job_status,
            "deployment_status": status.job_deployment_status,
            "reason": status.reason,
            "message": status.message,
            "cluster": status.ray_cluster_name,
            "job_id": status.job_id,
            "started": status.start_time,
            "ended": status.end_time,
            "succeeded": status.succeeded,
            "failed": status.failed,
            "agent": meta.named(self.agent_label) or None,
            "task": meta.named(self.task_label) or None,
            "role": role_of(meta.named(self.role_label)),
            "story": meta.named(self.story_label) or None,
            "logs": lines,
            "logs_error": problem,
        }


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
