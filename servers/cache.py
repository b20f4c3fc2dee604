"""What is downloaded or built once and kept in the user's cache, under a name that holds its version."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleet-exporter"

Progress = Callable[[str], None]
"""Told, in a few words, of each step that takes more than a moment."""


class ServerMissing(Exception):
    """One sentence: which server cannot be had here, why, and what to do about it."""


def silent(_: str) -> None:
    """For callers that show no progress."""


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The folder CACHE/name; when it is not there, `build` fills a temporary one that is moved into place whole.

    Safe between threads and processes: the second waits for the first and finds the work done. What `build` raises
    passes through and leaves nothing in place.
    """
    place = CACHE / name
    if place.exists():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place
        # One fixed name under the lock: what a killed build left (gigabytes, for Go) goes with the next attempt.
        unfinished = CACHE / f".{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            build(unfinished)
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return place
