"""A source that watches for changes, run until its page shows data."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from exporter.errors import Reason, SourceError
from exporter.source import Source
from tests.support.pages import Page, eventually, followed, page_showing

Shows = Callable[[str, float], Awaitable[Page]]


@asynccontextmanager
async def following(source: Source) -> AsyncIterator[Shows]:
    """Gives a function that waits until a series has a value, and returns that page."""
    before = _open_sockets()
    async with followed(source):
        yield functools.partial(page_showing, source)

    async def closed() -> bool:
        return _open_sockets() <= before

    await eventually(closed)  # a cancelled request sends close_notify and waits for the server's reply


def _open_sockets() -> int:
    return len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]  # asyncio has no other way to its sockets


async def is_denied(source: Source) -> None:
    """Return once reading fails because of a missing permission."""

    async def so() -> bool:
        reasons = []
        for target in source.targets():
            try:
                snapshot: Any = await target.collect()
                if (failure := target.failure(snapshot)) is not None:
                    raise failure
            except SourceError as error:
                reasons.append(error.reason)
        return Reason.UNAUTHORIZED in reasons

    await eventually(so)
