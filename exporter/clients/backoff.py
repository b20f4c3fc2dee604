"""The delays between retries: exponential with jitter, the only ones in the exporter.

Not stamina: its retries end with the first success and never reset within a call, so the delay of a loop that reads, fails
and reads again grows forever (tried: 0.2, 0.4, 0.8, 1.6 s); it adds two packages for these 15 lines.
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
