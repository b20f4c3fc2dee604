"""Shards divide the fleet, and a PodDisruptionBudget limits evictions."""

from __future__ import annotations

import re
from typing import Any

from servers.process import wait_for
from tests.e2e.cluster.conftest import NAMESPACE, PORT, RELEASE, STREAMS, Release, page_of


def test_three_shards_divide_the_streams(release: Release) -> None:
    release.upgrade("shards=3")
    pods = release.pods()
    shown: dict[str, list[str]] = {}
    for pod in pods:
        page = page_of(f"{pod['status']['podIP']}:{PORT}")
        own = {found[1] for name in page if (found := re.match(r'nats_stream_messages\{.*stream="(\w+)"', name))}
        shown[pod["metadata"]["labels"]["fleet-exporter/shard"]] = sorted(own)
    release.upgrade("shards=1")

    assert sorted(shown) == ["0", "1", "2"]
    assert sorted(name for own in shown.values() for name in own) == STREAMS
    assert len(release.pods()) == 1


def evict(release: Release, pod: dict[str, Any]) -> int:
    """The status with which the API answers, as it would to `kubectl drain`."""
    meta = {"name": pod["metadata"]["name"], "namespace": NAMESPACE}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{meta['name']}/eviction"
    return release.cluster.api.request("POST", path, body)[0]


def allowed(release: Release) -> int | None:
    """Disruptions that the controller allows now; None before it has looked at the budget's last change."""
    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{RELEASE}"
    budget = release.cluster.api.request("GET", path)[1]
    if budget["status"].get("observedGeneration") != budget["metadata"]["generation"]:
        return None
    return int(budget["status"]["disruptionsAllowed"])


def test_a_drain_may_evict_the_pod_unless_the_budget_forbids_it(release: Release) -> None:
    release.upgrade("podDisruptionBudget.enabled=true", "podDisruptionBudget.minAvailable=1")
    wait_for(lambda: allowed(release) == 0, what="the budget to forbid a disruption")
    (pod,) = release.pods()
    forbidden = evict(release, pod)
    release.upgrade("podDisruptionBudget.minAvailable=null")
    wait_for(lambda: allowed(release) == 1, what="the budget to allow a disruption")
    evicted = evict(release, pod)
    wait_for(lambda: pod["metadata"]["uid"] not in [each["metadata"]["uid"] for each in release.pods()], what="its end")
    release.wait()
    release.upgrade("podDisruptionBudget.enabled=false")

    assert (forbidden, evicted) == (429, 201)
