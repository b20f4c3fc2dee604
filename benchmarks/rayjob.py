"""20 000 RayJobs on a real API server: first sync, page, memory, pages of other sources during the sync, delay of a
change.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from benchmarks.figure import Figure, awaited_median, resident_bytes
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.scrape import Scraper
from exporter.source import Source, SourceOptions, Target
from exporter.sources.rayjob import Rayjob, RayjobOptions
from servers import kubernetes
from servers.kubernetes import Kubernetes

JOBS = 20_000
_PATH = "/apis/ray.io/v1/namespaces/default/rayjobs"
_BEAT = gauge("bench_beat", "Always there.")


class _Beat(Source, Target[int]):
    """A fast source, whose page must not wait while the jobs are listed."""

    kind: ClassVar[str] = "beat"
    metrics: ClassVar[tuple[Metric, ...]] = (_BEAT,)

    async def collect(self) -> int:
        return 1

    def samples(self, snapshot: int) -> Iterable[Sample]:
        yield _BEAT(snapshot)


def _job(number: int) -> dict[str, object]:
    labels = {"fleet/agent": f"agent-dev-{number % 200:03}", "fleet/role": "DEV", "fleet/task": f"TSK-{number}"}
    spec = {"entrypoint": "python agent.py", "backoffLimit": 2, "rayClusterSpec": {"rayVersion": "2.52.1"}}
    status = {
        "jobStatus": "RUNNING",
        "jobDeploymentStatus": "Running",
        "rayClusterName": f"cluster-{number % 50}",
        "startTime": "2026-01-01T00:00:00Z",
    }
    meta = {"name": f"deliberation-{number:05}", "labels": labels}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": meta, "spec": spec, "status": status}


def _fill(server: Kubernetes) -> None:
    def create(number: int) -> None:
        body = _job(number)
        server.request("POST", _PATH, body)
        server.request(
            "PATCH",
            f"{_PATH}/deliberation-{number:05}/status",
            {"status": body["status"]},
            content_type="application/merge-patch+json",
        )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(create, range(JOBS)))


async def _bare_list(server: Kubernetes) -> float:
    def read() -> None:
        token = ""
        while True:
            more = f"&continue={token}" if token else ""
            token = server.request("GET", f"{_PATH}?limit=500{more}")[1]["metadata"].get("continue", "")
            if not token:
                return

    began = time.perf_counter()
    await asyncio.to_thread(read)
    return time.perf_counter() - began


async def _measure(server: Kubernetes) -> list[Figure]:
    bare = await _bare_list(server)
    gc.collect()
    before = resident_bytes()
    source = Rayjob(RayjobOptions(kubeconfig=server.kubeconfig))
    beats = Scraper([_Beat(SourceOptions())])
    scraper = Scraper([source])
    following = asyncio.create_task(scraper.run())
    pages: list[float] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await beats.read(5)
            pages.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)

    beating = asyncio.create_task(beat())
    began = time.perf_counter()
    await source.wait_synced()
    synced = time.perf_counter() - began
    beating.cancel()
    gc.collect()
    memory = (resident_bytes() - before) / JOBS
    lines = 0

    async def page() -> None:
        nonlocal lines
        lines = rendered(grouped(await scraper.read(10)), ExpositionFormat.TEXT).count(b"\n")

    await page()
    took = await awaited_median(page)

    patch = {"status": {"jobStatus": "FAILED"}}
    path = f"{_PATH}/deliberation-00000/status"
    await asyncio.to_thread(server.request, "PATCH", path, patch, content_type="application/merge-patch+json")
    scrapes = 0
    while True:
        scrapes += 1
        text = rendered(grouped(await scraper.read(10)), ExpositionFormat.TEXT, {"ray_job_status"})
        if b'rayjob="deliberation-00000",state="FAILED"} 1' in text:
            break
    following.cancel()
    await asyncio.gather(following, beating, return_exceptions=True)
    await scraper.close()
    return [
        Figure(
            f"page of {JOBS:,} RayJobs, {lines:,} lines",
            f"{took * 1000:.0f} ms",
            "≤ 200 ms",
            took <= 0.2,
            f"bare list request with json: {bare * 1000:.0f} ms",
        ),
        Figure("memory per RayJob", f"{memory / 1024:.1f} KiB", "≤ 4 KiB", memory <= 4096),
        Figure(
            f"first sync of {JOBS:,} RayJobs",
            f"{synced:.1f} s; pages of another source during the sync: median {statistics.median(pages) * 1000:.1f} ms, "
            f"longest {max(pages) * 1000:.0f} ms",
            "≤ 9 s, other pages not blocked",
            synced <= 9 and max(pages) < 0.5,
        ),
        Figure("scrapes until a change is exported", f"{scrapes}", "next scrape", scrapes <= 1),
    ]


def figures() -> list[Figure]:
    with kubernetes.start() as server:
        server.apply_ray_crds()
        _fill(server)
        return asyncio.run(_measure(server))


if __name__ == "__main__":
    print(json.dumps([figure.row for figure in figures()], indent=1))
