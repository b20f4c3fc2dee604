"""The delays between retries: exponential with jitter, the only ones in the exporter.

stamina and tenacity repeat a call until it returns; these loops read until the exporter stops, and reset after a success.
"""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first` to `longest` seconds, each randomized to 50-100 % so that clients spread out."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._delay = first

    def next(self) -> float:
        """The delay before the next attempt, in seconds."""
        delay, self._delay = self._delay, min(self._delay * 2, self._longest)
        return random.uniform(delay / 2, delay)

    def reset(self) -> None:
        """Start over after a success."""
        self._delay = self._first
