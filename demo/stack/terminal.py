"""Reads lines from the demo's terminal in a thread; without a terminal nothing is read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator

_AT_ONCE = 4096


@contextlib.contextmanager
def lines(typed: Callable[[str], None]) -> Iterator[None]:
    """Call `typed` in the event loop with each line of the standard input, until that or the context ends."""
    try:
        source = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or no file
        yield
        return
    # In the background of a shell, reading the terminal would stop the whole demo; ignored, it is an error instead.
    before = signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    ended, end = os.pipe()
    loop = asyncio.get_running_loop()

    def read() -> None:
        unfinished = b""
        with contextlib.suppress(OSError):
            while ended not in select.select([source, ended], [], [])[0]:
                if not (part := os.read(source, _AT_ONCE)):
                    return
                *whole, unfinished = (unfinished + part).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(typed, line.decode(errors="replace"))

    reading = loop.run_in_executor(None, read)
    try:
        yield
    finally:
        os.close(end)
        # The thread ends within a moment; it holds `ended` until then.
        reading.add_done_callback(lambda _: os.close(ended))
        signal.signal(signal.SIGTTIN, before)
