"""A measurement with its limit; the median of several runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 7


@dataclass(frozen=True)
class Figure:
    what: str
    measured: str
    limit: str
    met: bool
    reference: str = ""

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.measured} | {self.reference} | {self.limit} | {'yes' if self.met else '**no**'} |"


def median(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Median seconds of one call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def awaited_median(work: Callable[[], Awaitable[object]], *, rounds: int = ROUNDS) -> float:
    """As `median`, for a coroutine function."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid}: expected VmRSS in /proc/{pid}/status, got none")
