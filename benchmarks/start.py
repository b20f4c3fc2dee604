"""One ValKey: CPU until the first page next to the bare imports of its clients, and resident memory."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
from pathlib import Path

import httpx

from benchmarks.figure import Figure, resident_bytes
from benchmarks.whole import installed
from servers import valkey
from tests.support.process import exporter

_ROUNDS = 5
_TICKS = os.sysconf("SC_CLK_TCK")


def _cpu(pid: int) -> float:
    """CPU seconds of a process until now, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _command(python: Path, *words: str) -> float:
    """CPU seconds of a Python command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures() -> list[Figure]:
    python = installed()
    starts, sizes, bare, versions = [], [], [], []
    with valkey.start() as server:
        for _ in range(_ROUNDS):
            bare.append(_command(python, "-c", "import redis.asyncio, httpx"))
            versions.append(_command(python, "-m", "exporter", "--version"))
            with exporter(variables={**os.environ, "REDIS_URL": server.url}, python=python) as process:
                httpx.get(f"{process.url}/metrics", timeout=30)
                starts.append(_cpu(process.process.pid))
                for _ in range(20):
                    httpx.get(f"{process.url}/metrics", timeout=30)
                sizes.append(resident_bytes(process.process.pid) / 1024**2)
    start, reference, version, size = map(statistics.median, (starts, bare, versions, sizes))
    return [
        Figure(
            "start to the first page of one ValKey, CPU",
            f"{start:.2f} s, {start / reference:.1f} of the bare imports",
            "≤ 0.6 s, ≤ 2.5 of the bare imports",
            start <= 0.6 and start / reference <= 2.5,
            f"import redis and httpx: {reference:.2f} s",
        ),
        Figure("memory with one ValKey", f"{size:.1f} MiB", "≤ 45 MiB", size <= 45),
        Figure("--version, CPU", f"{version:.2f} s", "≤ 0.25 s", version <= 0.25),
    ]
