"""The simulated fleet on the real Kubernetes API server: a RayCluster, finished RayJobs, and the services' pods."""

from __future__ import annotations

import itertools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.scenario.faults import Fault, Faults
from demo.scenario.fleet import Step
from servers.kubernetes import Kubernetes
from servers.process import ServerFailed

_JOBS = "/apis/ray.io/v1/namespaces/default/rayjobs"
_CLUSTERS = "/apis/ray.io/v1/namespaces/default/rayclusters"
_PODS = "/api/v1/namespaces/default/pods"
_KEPT_JOBS = 20
_SERVICES = ("planning", "orchestrator", "context", "ray-executor", "workflow")
_NODES = "/api/v1/nodes"
_NODE, _POOL, _WORKER = "gpu-node-1", "g5.12xlarge", "ray-gpu-worker"
_CRASHING, _ABSENT = "workflow", "monitoring"
_FAILING_JOB = "nightly-evaluation"
_RETRIES = 2
_CONDITIONS = [
    {"type": kind, "status": str(kind != "ReplicaFailure"), "reason": kind, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for kind in ("HeadPodReady", "RayClusterProvisioned", "ReplicaFailure")
]


class SimulatedCluster:
    """The fleet's objects in Kubernetes. Faults take effect with the next step."""

    def __init__(self, server: Kubernetes, faults: Faults) -> None:
        self._server = server
        self._faults = faults
        self._applied: dict[Fault, bool] = {Fault.RAYJOB: False, Fault.POD: False, Fault.WORKLOAD: True}
        self._names: deque[str] = deque()
        self._numbers = itertools.count(1)

    def prepare(self) -> None:
        """Create the RayCluster, the GPU node and the pods."""
        self._server.apply_ray_crds()
        self._create(_CLUSTERS, "RayCluster", "ray-gpu")
        workers = {f"{what}WorkerReplicas": 2 for what in ("desired", "available", "ready")}
        status = {"state": "ready", **workers, "minWorkerReplicas": 0, "maxWorkerReplicas": 4, "conditions": _CONDITIONS}
        self._patch(f"{_CLUSTERS}/ray-gpu", status | {"desiredCPU": "6", "desiredMemory": "32Gi", "desiredGPU": "2"})
        for service in _SERVICES:
            self._create_pod(service)
        self._create_gpu_node()
        self._apply_faults()

    def send(self, step: Step) -> None:
        """A finished RayJob for each deliberation."""
        self._apply_faults()
        if not step.task:
            return
        name = f"deliberation-{next(self._numbers)}"
        agent = step.responses[0].agent  # the RayJob of a council is named after its first agent
        labels = {"fleet/agent": agent, "fleet/role": step.role, "fleet/story": step.story, "fleet/task": step.task}
        seconds = max(response.seconds for response in step.responses)
        self._end_job(name, labels, seconds, failed=all(response.failed for response in step.responses))
        self._names.append(name)
        while len(self._names) > _KEPT_JOBS:
            self._server.request("DELETE", f"{_JOBS}/{self._names.popleft()}")

    def _apply_faults(self) -> None:
        for fault, applied in self._applied.items():
            if (broken := fault in self._faults) == applied:
                continue
            match fault, broken:
                case Fault.POD, _:
                    self._report_pod(_CRASHING, ready=not broken)
                case Fault.WORKLOAD, False:
                    self._create_pod(_ABSENT)
                case Fault.WORKLOAD, True:
                    self._server.request("DELETE", f"{_PODS}/{_pod(_ABSENT)}?gracePeriodSeconds=0")
                case Fault.RAYJOB, True:
                    self._end_job(_FAILING_JOB, {}, 60.0, failed=True)
                case Fault.RAYJOB, False:
                    self._server.request("DELETE", f"{_JOBS}/{_FAILING_JOB}")
            self._applied[fault] = broken

    def _create_pod(self, service: str) -> None:
        """A pod as a Deployment's controller creates it; no kubelet runs it."""
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{service}-7d9f",
            "uid": service,
            "controller": True,
        }
        resources = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
        body = {
            "metadata": {
                "name": _pod(service),
                "labels": {"pod-template-hash": "7d9f"},
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": service, "image": f"fleet/{service}:v1.4.2", "resources": resources}]},
        }
        self._server.create(_PODS, body)
        self._report_pod(service, ready=True)

    def _create_gpu_node(self) -> None:
        """A node with two GPUs, one of them used by a Ray worker."""
        labels = {"node.kubernetes.io/instance-type": _POOL}
        self._server.create(_NODES, {"metadata": {"name": _NODE, "labels": labels}})
        self._patch(f"{_NODES}/{_NODE}", {"allocatable": {"nvidia.com/gpu": "2"}, "capacity": {"nvidia.com/gpu": "2"}})
        resources = {"requests": {"cpu": "2", "memory": "16Gi"}, "limits": {"nvidia.com/gpu": "1"}}
        container = {"name": "ray-worker", "image": "rayproject/ray:2.56.0-gpu", "resources": resources}
        metadata = {"name": _pod(_WORKER), "labels": {"ray.io/cluster": "ray-gpu"}}
        self._server.create(_PODS, {"metadata": metadata, "spec": {"nodeName": _NODE, "containers": [container]}})
        self._report_pod(_WORKER, ready=True)

    def _report_pod(self, service: str, *, ready: bool) -> None:
        container: dict[str, Any] = {"name": service, "image": service, "imageID": "", "ready": ready, "restartCount": 0}
        if ready:
            container["state"] = {"running": {"startedAt": _time(datetime.now(UTC))}}
        else:
            container |= {"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        conditions = [{"type": "Ready", "status": str(ready)}]
        status = {"phase": "Running", "startTime": _time(datetime.now(UTC))}
        self._patch(f"{_PODS}/{_pod(service)}", status | {"conditions": conditions, "containerStatuses": [container]})

    def _end_job(self, name: str, labels: dict[str, str], seconds: float, *, failed: bool) -> None:
        """Create a finished RayJob."""
        self._create(_JOBS, "RayJob", name, labels, {"backoffLimit": _RETRIES})
        ended = datetime.now(UTC)
        status: dict[str, Any] = {
            "rayClusterName": "ray-gpu",
            "jobStatus": "FAILED" if failed else "SUCCEEDED",
            "jobDeploymentStatus": "Failed" if failed else "Complete",
            "startTime": _time(ended - timedelta(seconds=seconds)),
            "endTime": _time(ended),
        }
        self._patch(f"{_JOBS}/{name}", status | ({"reason": "AppFailed", "failed": 1} if failed else {"succeeded": 1}))

    def _create(
        self,
        path: str,
        kind: str,
        name: str,
        labels: dict[str, str] | None = None,
        spec: dict[str, Any] | None = None,
    ) -> None:
        meta = {"name": name, "labels": labels or {}}
        self._server.create(path, {"apiVersion": "ray.io/v1", "kind": kind, "metadata": meta, "spec": spec or {}})

    def _patch(self, path: str, status: dict[str, Any]) -> None:
        code, response = self._server.request(
            "PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json"
        )
        if code != 200:
            raise ServerFailed(f"the API server refused the status of {path}: {code} {(response or {}).get('message', '')}")


def _pod(service: str) -> str:
    return f"{service}-7d9f-1"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
