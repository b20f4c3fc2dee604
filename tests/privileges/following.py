"""A source that is told of changes, followed until its page shows something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from exporter.source import Reason, Source, SourceError
from tests.reading import eventually, series

Page = dict[str, float]
Shows = Callable[[str, float], Awaitable[Page]]


@asynccontextmanager
async def following(source: Source) -> AsyncIterator[Shows]:
    """Gives a function that waits until a series has a value, and returns that page."""
    before = _open_sockets()
    task = asyncio.create_task(source.follow())

    async def shows(name: str, value: float) -> Page:
        page: Page = {}

        async def so() -> bool:
            nonlocal page
            try:
                page = series(await source.collect())
            except SourceError:
                return False
            return page.get(name) == value

        await eventually(so)
        return page

    try:
        yield shows
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        async def closed() -> bool:
            return _open_sockets() <= before

        await eventually(closed)  # a request that is cut off says goodbye by TLS, which takes the server's answer


def _open_sockets() -> int:
    return len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]


async def is_denied(source: Source) -> None:
    """Return once reading fails for want of a right."""

    async def so() -> bool:
        try:
            await source.collect()
        except SourceError as error:
            return error.reason is Reason.UNAUTHORIZED
        return False

    await eventually(so)
