"""Servers started, prepared and stopped in threads that end with the task that waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

from servers.cancellation import Cancelled, current

T = TypeVar("T")

GRACE: Final = 0.5
"""Seconds in which servers may stop in order; then they are killed. Their data is thrown away anyway."""


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`. A cancelled task cancels the thread's work too, and returns when the thread has ended."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except Cancelled:  # by the end of another task, before this one was cancelled
        raise asyncio.CancelledError from None
    except asyncio.CancelledError:
        current().request(grace=GRACE)
        await asyncio.wait([running])
        running.exception()  # retrieved, else asyncio logs it
        raise


class RunningServers:
    """Servers that are stopped together."""

    def __init__(self) -> None:
        self._started: list[contextlib.AbstractContextManager[object]] = []

    async def start(self, server: contextlib.AbstractContextManager[T]) -> T:
        """Start a server. Raises the error of its start, with nothing left running."""

        def enter() -> T:
            started = server.__enter__()
            self._started.append(server)  # in the thread: also when the task has been cancelled
            return started

        return await in_thread(enter)

    async def stop(self) -> None:
        """Stop all concurrently. Raises the first error after every server was stopped."""
        stopping = [asyncio.to_thread(server.__exit__, None, None, None) for server in self._started]
        for failure in await asyncio.gather(*stopping, return_exceptions=True):
            if failure is not None and isinstance(failure, BaseException):
                raise failure
