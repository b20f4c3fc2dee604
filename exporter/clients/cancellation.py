"""Cancellation that a client cannot lose."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_AGAIN = 0.5

T = TypeVar("T")


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, run in a task that is cancelled until it ends if the caller is cancelled.

    Before Python 3.12, `asyncio.wait_for`, which nats-py uses to connect, loses a cancellation that arrives together with
    the result; a TaskGroup loses one that arrives together with an error. A loop around them would then never end.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it
