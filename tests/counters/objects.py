"""Backends whose reply is a text or a list of objects: Kubernetes' RayJobs and pods, ValKey, vLLM, NATS' /varz, services."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from exporter.metrics.metric import Kind, Sample
from exporter.sources.jetstream import monitoring as nats_servers
from exporter.sources.rayjob.jobs import Correlation, RayJobs, unknown_samples
from exporter.sources.rayjob.jobs import samples as job_samples
from exporter.sources.services import probe
from exporter.sources.valkey import info as valkey
from exporter.sources.valkey.fields import parsed
from exporter.sources.vllm import page as vllm
from exporter.sources.vllm.mappings import MAPPINGS
from exporter.sources.workloads.samples import WorkloadsSnapshot, samples
from exporter.sources.workloads.store import Pods
from tests.support.pages import Page, series


def raw(**value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


class WatchedPods:
    """A StatefulSet of two pods, whose containers restart."""

    restarted = 'fleet_workload_restarts_total{namespace="n",kind="StatefulSet",workload="planning"}'

    def __init__(self, _: Path) -> None:
        self.restarts = {"planning-0": 30, "planning-1": 12}
        self.start_exporter()

    def _pod(self, name: str) -> msgspec.Raw:
        owner = {"kind": "StatefulSet", "name": "planning", "controller": True}
        containers = [{"name": "c", "restartCount": self.restarts[name]}]
        meta = {"name": name, "namespace": "n", "uid": name, "ownerReferences": [owner]}
        return raw(metadata=meta, status={"phase": "Running", "containerStatuses": containers})

    def start_exporter(self) -> None:
        self.pods = Pods()
        self.list_again()

    def list_again(self) -> None:
        """As after a watch that expired."""
        self.pods.replace("scope", self.pods.rows("scope", [self._pod(name) for name in self.restarts]))

    def lose_permission(self) -> None:
        """For a moment."""
        self.pods.clear("scope")
        self.list_again()

    def delete(self) -> None:
        gone = self._pod("planning-0")
        del self.restarts["planning-0"]
        self.pods.change("scope", "DELETED", gone)

    async def work(self) -> Mapping[str, float]:
        self.restarts["planning-1"] += 2
        self.pods.change("scope", "MODIFIED", self._pod("planning-1"))
        return {self.restarted: 2}

    async def page(self) -> Page:
        return series(samples(WorkloadsSnapshot(self.pods.lines(), expected={}, pools={}, used={})))


class WatchedRayJobs:
    """RayJobs that finish after 10 s, fail and are retried, or have a state that no version knows."""

    def __init__(self, _: Path) -> None:
        self.objects: dict[str, msgspec.Raw] = {}
        self.numbers = itertools.count()
        for _number in range(20):
            self._finished()
        self.start_exporter()

    def _put(self, status: dict[str, Any]) -> msgspec.Raw:
        name = f"job-{next(self.numbers)}"
        self.objects[name] = raw(metadata={"name": name, "namespace": "n", "uid": name}, status=status)
        return self.objects[name]

    def _finished(self) -> msgspec.Raw:
        times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:10Z"}
        return self._put({"jobStatus": "SUCCEEDED", "failed": 2, **times})

    def start_exporter(self) -> None:
        self.jobs = RayJobs(Correlation("fleet/agent", "fleet/task", "fleet/role", "fleet/story"))
        self.list_again()

    def list_again(self) -> None:
        self.jobs.replace("scope", self.jobs.rows("scope", list(self.objects.values())))

    def remove_crd(self) -> None:
        self.jobs.clear("scope")
        self.list_again()

    def delete(self) -> None:
        for name in list(self.objects)[:5]:
            self.jobs.change("scope", "DELETED", self.objects.pop(name))

    async def work(self) -> Mapping[str, float]:
        retried = f"job-{next(self.numbers)}"
        for failed in (0, 1, 2):
            meta = {"name": retried, "namespace": "n", "uid": retried}
            self.objects[retried] = raw(metadata=meta, status={"jobDeploymentStatus": "Retrying", "failed": failed})
            self.jobs.change("scope", "MODIFIED", self.objects[retried])
        for made in (self._finished(), self._put({"jobStatus": "DREAMING"})):
            self.jobs.change("scope", "ADDED", made)
        return {
            'ray_job_duration_seconds_count{namespace="n",outcome="succeeded"}': 1,
            'ray_job_duration_seconds_sum{namespace="n",outcome="succeeded"}': 10,
            'ray_job_duration_seconds_bucket{namespace="n",outcome="succeeded",le="10.0"}': 1,
            'ray_job_attempt_failures_total{namespace="n"}': 2 + 2,  # the job that succeeded had failed twice
            'ray_job_unknown_states_total{field="jobStatus"}': 1,
        }

    async def page(self) -> Page:
        jobs = self.jobs
        return series(
            [*job_samples(list(jobs.rows_now().values())), *jobs.attempts.samples(), *unknown_samples(jobs.unknown_states)]
        )


class Reported:
    """A server whose totals increase by 3 at a time and restart at 0."""

    def __init__(self, _: Path) -> None:
        self.total = 40

    def restart(self) -> None:
        self.total = 0

    def start_exporter(self) -> None:
        """The exporter keeps nothing of such a server."""

    async def work(self) -> Mapping[str, float]:
        before = await self.page()
        self.total += 3
        after = await self.page()
        return {name: 3 * self.scale(name) for name, value in after.items() if value != before[name]}

    def scale(self, name: str) -> float:  # noqa: ARG002 - most figures are exported as they are
        """How much a series rises when the server's own figure rises by 1."""
        return 1

    def samples(self) -> Iterable[Sample]:
        raise NotImplementedError

    async def page(self) -> Page:
        return series(self.samples())


class ReportedByValkey(Reported):
    def scale(self, name: str) -> float:
        return 1e-6 if name.startswith("valkey_command_duration_seconds_total") else 1

    def samples(self) -> Iterable[Sample]:
        fields = [field for field, (metric, _) in valkey.FIELDS.items() if metric.kind is Kind.COUNTER]
        lines = [f"{field}:{self.total}" for field in (*fields, *valkey.CPU)]
        calls = ("calls", "usec", "rejected_calls", "failed_calls")
        lines.append("cmdstat_get:" + ",".join(f"{name}={self.total}" for name in calls))
        lines.append(f"errorstat_ERR:count={self.total}")
        return valkey.samples(parsed("\r\n".join(lines)), "s")


class ReportedByVllm(Reported):
    def samples(self) -> Iterable[Sample]:
        lines = []
        for mapping in MAPPINGS:
            labels = "".join(f',{theirs}="x"' for _, theirs in mapping.own_labels)
            owner, name = f'model_name="m",engine="0"{labels}', f"vllm:{mapping.names[0]}"
            if mapping.metric.kind is Kind.COUNTER:
                lines.append(f"{name}_total{{{owner}}} {self.total}")
            elif mapping.metric.kind is Kind.HISTOGRAM:
                lines += self._histogram(name, owner)
        lines.append(f'http_requests_total{{handler="/",method="POST",status="2xx"}} {self.total}')
        lines += self._histogram("http_request_duration_seconds", 'handler="/",method="POST"')
        return vllm.samples(vllm.snapshot("\n".join(lines) + "\n", "s"))

    def _histogram(self, name: str, owner: str) -> list[str]:
        buckets = [f'{name}_bucket{{{owner},le="{bound}"}} {self.total}' for bound in ("1.0", "+Inf")]
        return [*buckets, f"{name}_sum{{{owner}}} {self.total}", f"{name}_count{{{owner}}} {self.total}"]


class ReportedByNats(Reported):
    def samples(self) -> Iterable[Sample]:
        names = ("total_connections", "slow_consumers", "in_msgs", "out_msgs", "in_bytes", "out_bytes")
        gauges = dict.fromkeys(("mem", "connections", "max_connections", "subscriptions"), 1)
        body = {"server_name": "n1", "version": "2", "start": "", "cpu": 0.0, **gauges, **dict.fromkeys(names, self.total)}
        varz = msgspec.json.decode(msgspec.json.encode(body), type=nats_servers.Varz)
        return nats_servers.monitoring_samples([nats_servers.ServerReading("s", varz, is_healthy=True)])


class ReportedByServices(Reported):
    def samples(self) -> Iterable[Sample]:
        totals = (("completed", self.total), ("failed", self.total))
        found = probe.Probe(service="executor", instance="a:1", round_trip=0.1, deliberations=totals)
        return probe.samples([found], ["executor"], 0.0)
