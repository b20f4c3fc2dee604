"""The exporter as a process with all sources: startup, idle memory, and an unresponsive backend."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from benchmarks.figure import Figure, median, resident_bytes
from servers import kubernetes, nats, neo4j, valkey, vllm
from servers.cache import cached
from tests.support.process import exporter

_ROOT = Path(__file__).parents[1]
_SOURCES = 6
"""The five backends and the fleet's events."""


def installed() -> Path:
    """Python in an environment with the runtime dependencies only, to exclude development tools."""
    wanted = [_ROOT / "pyproject.toml", _ROOT / "requirements.lock"]

    def build(folder: Path) -> None:
        uv = [sys.executable, "-m", "uv", "-q"]
        subprocess.run([*uv, "venv", "--relocatable", "--python", sys.executable, folder / "environment"], check=True)
        python = folder / "environment/bin/python"
        subprocess.run(
            [*uv, "pip", "install", "--compile-bytecode", "--python", python, "-r", wanted[0], "-c", wanted[1]], check=True
        )

    digest = hashlib.sha256(b"".join(file.read_bytes() for file in wanted)).hexdigest()[:12]
    return cached(f"runtime-{digest}", build) / "environment/bin/python"


def figures() -> list[Figure]:
    with (
        nats.start() as bus,
        valkey.start() as cache,
        neo4j.start() as graph,
        kubernetes.start() as cluster,
        vllm.start() as engine,
        httpx.Client(timeout=30) as http,
    ):
        cluster.apply_ray_crds()
        variables = {
            **os.environ,
            "NATS_URL": bus.url,
            "REDIS_URL": cache.url,
            "NEO4J_URI": graph.url,
            "NEO4J_PASSWORD": graph.password,
            "VLLM_URL": engine.url,
            "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(cluster.kubeconfig),
        }
        python = installed()
        starts = [_start(http, variables, python) for _ in range(5)]
        with exporter(variables=variables, python=python) as process:
            url = f"{process.url}/metrics"
            for _ in range(20):
                http.get(url)
            resident = resident_bytes(process.process.pid) / 1024**2
            calm = median(lambda: http.get(url))
            cache.process.pause()
            headers = {"x-prometheus-scrape-timeout-seconds": "2.5"}
            began = time.perf_counter()
            page = http.get(url, headers=headers).text
            first = time.perf_counter() - began
            later = median(lambda: http.get(url, headers=headers), rounds=5)
            cache.process.resume()
    whole = sorted(starts)[2]
    return [
        Figure("startup to the first complete page, five backends and events", f"{whole:.2f} s", "≤ 1.5 s", whole <= 1.5),
        Figure("idle memory, five backends and events connected", f"{resident:.1f} MiB", "≤ 120 MiB", resident <= 120),
        Figure(
            "unresponsive backend, scrape timeout 2.0 s",
            f"first page {first:.2f} s, later pages {later * 1000:.0f} ms",
            "first page at its timeout, later pages unaffected",
            first <= 2.2 and later < 0.2 and 'neo4j_nodes{database="neo4j"}' in page,
            f"before: {calm * 1000:.0f} ms",
        ),
    ]


def _start(http: httpx.Client, variables: dict[str, str], python: Path) -> float:
    """Seconds from process start to the end of a page on which every source is up."""
    began = time.perf_counter()
    with exporter(variables=variables, python=python) as process:
        while True:
            page = http.get(f"{process.url}/metrics").text
            up = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up{")]
            if len(up) == _SOURCES and all(line.endswith(" 1") for line in up):
                return time.perf_counter() - began
