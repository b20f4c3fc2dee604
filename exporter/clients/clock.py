"""Clock differences: changes of this machine's clock, and the offset of a server's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # only on Linux
_TOLERANCE = 1.0
"""Tolerated difference in seconds, for the delay of a reply and of the scheduler."""


def steady() -> float:
    """Seconds since boot, including suspend; never adjusted."""
    return time.clock_gettime(_SINCE_BOOT)


class WallClock:
    """This machine's clock, and its adjustment since the last call."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady) -> None:
        self._wall, self._steady = wall, steady
        self._difference = wall() - steady()

    def read(self) -> tuple[float, float]:
        """(seconds since 1970, seconds that the clock was set forward; 0 if less than a second)."""
        now = self._wall()
        step = now - self._steady() - self._difference
        if abs(step) <= _TOLERANCE:
            return now, 0.0
        self._difference += step
        return now, step


class ServerClock:
    """Offset of a server's clock, from the times in its replies."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady) -> None:
        self._wall, self._steady = wall, steady
        self._difference: float | None = None

    def record(self, server_time: float) -> None:
        """Record the time in a reply that just arrived, in seconds since 1970."""
        self._difference = server_time - self._steady()

    @property
    def ahead(self) -> float:
        """Seconds that it is ahead of this machine's clock, negative if behind; 0 if less than a second or unknown."""
        if self._difference is None:
            return 0.0
        ahead = self._difference + self._steady() - self._wall()
        return ahead if abs(ahead) > _TOLERANCE else 0.0
