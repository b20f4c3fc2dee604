"""Requests that run concurrently: together, within a limit, and until an event."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")
_SLOW_REQUEST = 0.25


class RequestLimit:
    """Limits concurrent requests. A slow request releases its slot: it waits for another node, not for this one."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)

    async def run(self, request: Coroutine[Any, Any, T]) -> T:
        """The result of the request, started when a slot is free."""
        task = None
        try:
            async with self._slots:
                task = asyncio.ensure_future(request)
                await asyncio.wait({task}, timeout=_SLOW_REQUEST)
            return await task
        finally:
            if task is None:
                request.close()
            else:
                task.cancel()


async def together(requests: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all concurrently; if one fails, the others are cancelled before the failure is raised."""
    tasks = [asyncio.ensure_future(request) for request in requests]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """As `together`, for two requests of different types."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def first_of(*events: asyncio.Event, within: float) -> None:
    """Return when one of the events is set, or after `within` seconds."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
