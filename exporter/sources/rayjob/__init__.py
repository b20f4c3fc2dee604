"""KubeRay RayJobs, RayClusters, RayServices and RayCronJobs from list and watch; a scrape makes no API requests.

`ray.io/v1` is read, or `v1alpha1` with an older KubeRay. RayServices and RayCronJobs are optional: without permission only
their metrics are missing.

A shard stores and exports its objects by namespace and name, which stay the same when an object is recreated. It receives
all objects, because the API cannot filter by hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from exporter.clients.kubernetes import ApiServer, Gone, NotServed, location
from exporter.clients.kubernetes_watch import MAX_OBJECT_BYTES, ObjectStore, Watch
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.events.values import role_of
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.metrics.timestamps import rfc3339
from exporter.source import LOOKUP_UP, Source, Target
from exporter.source_options.rayjob import RayjobOptions as RayjobOptions
from exporter.sources.rayjob import clusters, cron_jobs, jobs, logs, services
from exporter.sources.rayjob.clusters import RayClusters
from exporter.sources.rayjob.cron_jobs import RayCronJobs
from exporter.sources.rayjob.jobs import Correlation, JobRow, RayJobs, job_state
from exporter.sources.rayjob.objects import Key, ray_job
from exporter.sources.rayjob.rendered import Texts
from exporter.sources.rayjob.services import RayServices

SERVED = gauge(
    "ray_crd_available",
    "Whether the Kubernetes API serves the kind (the KubeRay CRD is installed); no data without permission to list it.",
    "kind",
)  # fmt: skip

_KINDS = {"rayjobs": "RayJob", "rayclusters": "RayCluster", "rayservices": "RayService", "raycronjobs": "RayCronJob"}
_OPTIONAL = ("rayservices", "raycronjobs")
_VERSIONS = ("v1", "v1alpha1")


@dataclass(frozen=True)
class RayjobSnapshot:
    """RayJobs and RayClusters of this shard, and their counters."""

    jobs: dict[Key, JobRow]
    clusters: list[Texts]
    """The sample lines of all RayClusters, one text per metric in clusters.METRICS."""
    services: list[Texts]
    """Like `clusters`, for RayServices."""
    cron_jobs: list[Texts]
    """Like `clusters`, for RayCronJobs."""
    lookups: dict[str, bool]
    """Whether an optional resource can be read; empty on all shards but the first."""
    attempts: tuple[Sample, ...]
    unknown_states: dict[str, int]
    """State values unknown to this version, by field."""
    served: dict[str, bool]
    """Whether the API serves a kind, if known; empty on all shards but the first."""


class Rayjob(Source, Target[RayjobSnapshot]):
    """Watches RayJobs and RayClusters of one Kubernetes cluster."""

    kind: ClassVar[str] = "rayjob"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *jobs.METRICS, *clusters.METRICS, *services.METRICS, *cron_jobs.METRICS, SERVED, LOOKUP_UP
    )  # fmt: skip
    is_sharded: ClassVar[bool] = True

    def __init__(self, options: RayjobOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        correlation = Correlation(options.agent_label, options.task_label, options.role_label, options.story_label)
        self._jobs, self._clusters = RayJobs(correlation, shard), RayClusters(shard)
        self._services, self._cron_jobs = RayServices(shard), RayCronJobs(shard)
        self._cluster = ApiServer(options.kubeconfig, context=options.context, timeout=options.timeout)
        stores: dict[str, ObjectStore[Any]] = {
            "rayjobs": self._jobs,
            "rayclusters": self._clusters,
            "rayservices": self._services,
            "raycronjobs": self._cron_jobs,
        }
        scopes = [f"namespaces/{name}/" for name in options.namespaces] or [""]
        self._watches = tuple(
            (plural, _watch(self._cluster, f"{scope}{plural}", store))
            for plural, store in stores.items()
            for scope in scopes
        )

    @property
    def location(self) -> str:
        return location(self.options.kubeconfig, self.options.context)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for plural, watch in self._watches:
                    group.create_task(watch.run(), name=f"watch {plural}")
        finally:
            await self._cluster.close()

    async def wait_synced(self) -> None:
        for _, watch in self._watches:
            await watch.wait_synced()

    async def collect(self) -> RayjobSnapshot:
        lookups = dict.fromkeys(_OPTIONAL, True)
        for plural, watch in self._watches:
            if watch.problem is None:
                continue
            if plural not in _OPTIONAL:
                raise watch.problem.again()
            lookups[plural] = False
        served: dict[str, bool] = {}
        for plural, watch in self._watches:
            if watch.served is not None:  # unknown without permission; CRDs are the same in every namespace
                served[_KINDS[plural]] = watch.served or served.get(_KINDS[plural], False)
        return RayjobSnapshot(
            jobs=self._jobs.rows_now(),
            clusters=self._clusters.rows_now(),
            services=self._services.rows_now() if lookups["rayservices"] else [],
            cron_jobs=self._cron_jobs.rows_now() if lookups["raycronjobs"] else [],
            lookups=lookups if self.shard.is_first else {},
            attempts=tuple(self._jobs.attempts.samples()),
            unknown_states=dict(self._jobs.unknown_states),
            served=served if self.shard.is_first else {},
        )

    def samples(self, snapshot: RayjobSnapshot) -> Iterable[Sample]:
        yield from jobs.samples(list(snapshot.jobs.values()))
        yield from snapshot.attempts
        yield from jobs.unknown_samples(snapshot.unknown_states)
        yield from clusters.samples(snapshot.clusters)
        yield from services.samples(snapshot.services)
        yield from cron_jobs.samples(snapshot.cron_jobs)
        for lookup, succeeded in snapshot.lookups.items():
            yield LOOKUP_UP(succeeded, source=self.kind, server=self.server, lookup=lookup)
        for kind, is_served in snapshot.served.items():
            yield SERVED(is_served, kind=kind)

    async def job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The current RayJob and its last log lines; None if it does not exist. Raises SourceError."""
        version = next(watch.path for plural, watch in self._watches if plural == "rayjobs").split("/")[3]
        path = f"/apis/ray.io/{version}/namespaces/{quote(namespace, safe='')}/rayjobs/{quote(name, safe='')}"
        try:
            found = ray_job(await self._cluster.read(path, limit=MAX_OBJECT_BYTES))
        except (Gone, NotServed):
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(Reason.MALFORMED, f"Kubernetes API: response for {path}: {error}") from None
        status, meta = found.status, found.metadata
        dashboard, lines, problem = self.options.dashboard or status.dashboard_url, None, None
        if not dashboard or not status.job_id:
            problem = "the RayJob has no dashboard URL or job ID yet"
        else:
            try:
                lines = await logs.read(dashboard, status.job_id)
            except logs.LogsMissing as missing:
                problem = str(missing)
        return {
            "namespace": meta.namespace,
            "name": meta.name,
            "status": job_state(status),
            "deployment_status": status.job_deployment_status,
            "reason": status.reason,
            "message": status.message,
            "cluster": status.ray_cluster_name,
            "job_id": status.job_id,
            "started": status.start_time,
            "ended": status.end_time,
            "succeeded": status.succeeded,
            "failed": status.failed,
            "agent": meta.named(self.options.agent_label) or None,
            "task": meta.named(self.options.task_label) or None,
            "role": role_of(meta.named(self.options.role_label)),
            "story": meta.named(self.options.story_label) or None,
            "logs": lines,
            "logs_error": problem,
        }


def _watch(cluster: ApiServer, path: str, store: ObjectStore[Any]) -> Watch:
    path, *fallbacks = (f"/apis/ray.io/{version}/{path}" for version in _VERSIONS)
    return Watch(cluster, path, store, fallbacks=fallbacks)


def job_view(key: Key, row: JobRow) -> dict[str, Any]:
    """One RayJob with its agent, task and role; times in RFC 3339."""
    namespace, name = key
    return {
        "namespace": namespace,
        "name": name,
        "status": row.status,
        "deployment_status": row.state,
        "started": rfc3339(row.started),
        "ended": rfc3339(row.ended),
        "agent": row.agent or None,
        "task": row.task or None,
        "role": row.role or None,
        "story": row.story or None,
    }
