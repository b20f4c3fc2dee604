"""A random schedule of faults that a seed determines: when, on which backend, which, and for how long."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.fault_proxy import Mode

MODES = tuple(mode for mode in Mode if mode is not Mode.PASS)
_SHORTEST, _LONGEST = 2.0, 8.0
_PAUSE = 10.0
"""Longest time between two faults of one backend, in which it is seen to recover."""


@dataclass(frozen=True)
class Fault:
    """`start` and `end` in seconds since the beginning."""

    start: float
    end: float
    backend: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.start:6.1f} - {self.end:6.1f} s  {self.backend:10} {self.mode}"


def schedule(seed: int, seconds: float, backends: Sequence[str]) -> list[Fault]:
    """Faults in order of their start. Faults of one backend do not overlap, faults of different ones may.

    Every backend gets every mode before it gets one again.
    """
    chosen = random.Random(seed)
    faults = []
    for backend in backends:
        at, left = chosen.uniform(0, _PAUSE), list[Mode]()
        while at < seconds:
            if not left:
                left = chosen.sample(MODES, len(MODES))
            end = min(at + chosen.uniform(_SHORTEST, _LONGEST), seconds)
            faults.append(Fault(at, end, backend, left.pop()))
            at = end + chosen.uniform(_PAUSE / 2, _PAUSE) + RECOVERY
    return sorted(faults, key=lambda fault: (fault.start, fault.backend))


RECOVERY = 5.0
"""Seconds after the end of a fault within which a source must be up."""
