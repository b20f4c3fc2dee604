"""What is downloaded or built once and kept in the user's cache, under a name that holds its version."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from servers.cancellation import current

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleet-exporter"

_POLL = 0.2


class ServerMissing(Exception):
    """One sentence: which server is not available here, why, and what to do about it."""


class Progress:
    """Receives what is being fetched or built. This one shows nothing; the displays are in `servers.progress`."""

    def __call__(self, text: str) -> None:
        """Start of a long stage, such as `compiling Loki 3.7.8`."""

    def steps(self, done: int, total: int, unit: str) -> None:
        """Progress of the stage, such as 120 of 800 packages."""


silent = Progress()
"""A Progress that shows nothing."""


def cached(name: str, build: Callable[[Path], None], progress: Progress = silent) -> Path:
    """The folder CACHE/name; when it is not there, `build` fills a temporary one that is moved into place whole.

    Safe between threads and processes: the second waits for the first and finds the work done. What `build` raises
    passes through and leaves nothing in place. Raises ServerMissing where the cache cannot be written.
    """
    place = CACHE / name
    if place.exists():
        return place
    with locked(name, progress):
        if place.exists():
            return place
        # One fixed name under the lock: what a killed build left (gigabytes, for Go) goes with the next attempt.
        unfinished = CACHE / f".{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir()
            build(unfinished)
            unfinished.rename(place)
        except OSError as error:
            raise unwritable(error) from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return place


@contextlib.contextmanager
def locked(name: str, progress: Progress = silent) -> Iterator[None]:
    """Hold the cache's lock of that name; waits for the thread or process that has it. Raises ServerMissing, Cancelled."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        lock = (CACHE / f".{name}.lock").open("w")
    except OSError as error:
        raise unwritable(error) from None
    with lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress("waiting for another build")
                waiting = True
                current().sleep(_POLL)
        yield


def unwritable(error: OSError) -> ServerMissing:
    """The error for a cache that cannot be written."""
    why = error.strerror or type(error).__name__
    return ServerMissing(f"the cache {CACHE} cannot be written ({why}): set XDG_CACHE_HOME to a folder that you may write")
