"""10 000 pods of 500 Deployments, passed to the store as in list responses of the Kubernetes API."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from benchmarks.figure import Figure, median, resident_bytes
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.sources.workloads.samples import WorkloadsSnapshot, samples
from exporter.sources.workloads.store import Pods

PODS, WORKLOADS = 10_000, 500


def _pod(number: int, restarts: int) -> msgspec.Raw:
    workload = f"service-{number % WORKLOADS}"
    owner = {"kind": "ReplicaSet", "name": f"{workload}-abc12", "uid": "u", "controller": True}
    resources = {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
    container: dict[str, Any] = {"name": "c", "image": f"registry/{workload}:v{number % 3}", "resources": resources}
    status = {"name": "c", "ready": True, "restartCount": restarts, "state": {"running": {}}, "lastState": {}}
    pod = {
        "metadata": {
            "name": f"{workload}-abc12-{number}",
            "namespace": f"ns-{number % 10}",
            "uid": f"00000000-0000-0000-0000-{number:012}",
            "labels": {"pod-template-hash": "abc12", "app": workload},
            "ownerReferences": [owner],
            "managedFields": [{"manager": "x" * 200}],
        },
        "spec": {"containers": [container], "nodeName": f"node-{number % 50}"},
        "status": {
            "phase": "Running",
            "startTime": "2026-02-06T10:11:12Z",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [status],
        },
    }
    return msgspec.Raw(json.dumps(pod).encode())


def _page(store: Pods) -> bytes:
    return rendered(
        grouped(samples(WorkloadsSnapshot(store.lines(), expected={}, pools={}, used={}))), ExpositionFormat.TEXT
    )


def figures() -> list[Figure]:
    store, raw = Pods(), [_pod(number, 0) for number in range(PODS)]
    before = resident_bytes()
    for start in range(0, PODS, 500):  # a page of the list response
        for one in raw[start : start + 500]:
            store.change("", "ADDED", one)
    page = _page(store)
    lines = page.count(b"\n")
    each = (resident_bytes() - before) / PODS / 1024

    def changed() -> None:
        for number in range(0, PODS, 20):  # one pod in twenty has changed since the last scrape
            store.change("", "MODIFIED", _pod(number, 1))
        _page(store)

    calm = median(lambda: _page(store))
    busy = median(changed, rounds=3)
    return [
        Figure(
            f"page of {PODS:,} pods in {WORKLOADS} workloads, {lines:,} lines",
            f"{calm * 1000:.1f} ms; {busy * 1000:.0f} ms when 500 pods have changed",
            "≤ 150 ms",
            calm <= 0.15 and busy <= 0.15,
        ),
        Figure("memory per pod", f"{each:.1f} KiB", "≤ 3 KiB", each <= 3),
    ]
