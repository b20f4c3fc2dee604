"""How the tests read a source or a page: as the series that a user would see."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from exporter.errors import SourceError
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import Sample
from exporter.scrape import read_once
from exporter.source import Source

T = TypeVar("T")
Page = dict[str, float]
"""A page as series: `name{labels}` → value."""


def series(samples: Iterable[Sample]) -> Page:
    """`name{labels}` → value, for every line that is no comment."""
    lines = rendered(grouped(samples), ExpositionFormat.TEXT).decode().removesuffix("\n").split("\n")
    shown = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in shown}


async def collected(source: Source) -> Page:
    """The series of one collection. Raises SourceError as the source does."""
    return series(await read_once(source))


async def eventually(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Return as soon as the condition holds; the test's timeout limits the wait."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def samples_of(source: Source) -> list[Sample]:
    """The samples of the targets of a source that runs already. Raises the first SourceError if every target fails."""
    found: list[Sample] = []
    failures: list[SourceError] = []
    targets = source.targets()
    for target in targets:
        try:
            snapshot: Any = await target.collect()
            if (failure := target.failure(snapshot)) is not None:
                raise failure
        except SourceError as error:
            failures.append(error)
        else:
            found += target.samples(snapshot)
    if failures and len(failures) == len(targets):
        raise failures[0]
    return found


async def page_now(source: Source) -> Page:
    """The page of a source that runs already. Raises as `samples_of`."""
    return series(await samples_of(source))


async def raised_by(source: Source) -> SourceError:
    """The error of one collection of a source with a single target, as a scrape sees it. Fails if there is none."""
    (target,) = source.targets()
    try:
        await target.collect()
    except SourceError as error:
        return error
    raise AssertionError(f"{source.kind} was collected without an error")


async def page_where(source: Source, fits: Callable[[Page], bool]) -> Page:
    """The first page of a running source that meets the condition; failed collections are skipped."""
    page: Page = {}

    async def now() -> bool:
        nonlocal page
        try:
            page = await page_now(source)
        except SourceError:
            return False
        return fits(page)

    await eventually(now)
    return page


async def page_showing(source: Source, name: str, value: float) -> Page:
    """The first page of a running source on which a series has this value."""
    last: float | None = None

    def fits(page: Page) -> bool:
        nonlocal last
        last = page.get(name)
        return last == value

    try:
        return await page_where(source, fits)
    except TimeoutError:
        raise AssertionError(f"{name} is {last}, not {value}") from None


@asynccontextmanager
async def followed(source: Source) -> AsyncIterator[None]:
    """Runs the source for the duration of the context."""
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server on a free port that treats each connection as `answer` does, and then closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        ended = threading.Event()

        def serve() -> None:
            held = []
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                held.append(connection)
                thread = threading.Thread(target=talk, args=(connection,), daemon=True)
                thread.start()
                talkers.append(thread)
            for connection in held:
                connection.close()

        def talk(connection: socket.socket) -> None:
            with suppress(OSError):
                answer(connection)

        talkers: list[threading.Thread] = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()
            for talker in talkers:
                talker.join(2)
