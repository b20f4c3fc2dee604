"""Priority of scrapes: other work pauses while a scrape is in progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

_LONGEST_PAUSE = 1.0


class Priority:
    """Tracks scrapes in progress."""

    def __init__(self) -> None:
        self._scrapes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def scrape(self) -> Iterator[None]:
        """Marks a scrape as in progress for the duration of the context."""
        self._scrapes += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._scrapes -= 1
            if not self._scrapes:
                self._idle.set()

    async def give_way(self) -> None:
        """Yield to other tasks; waits for scrapes, but not for a scrape that waits for its backends."""
        await asyncio.sleep(0)
        if not self._idle.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_PAUSE):
                    await self._idle.wait()
