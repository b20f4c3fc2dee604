"""Background tasks of sources: restarted after an error, counted, and cancelled."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from exporter.scrape import Scraper
from tests.support.pages import series
from tests.test_scrape import Toy, about


async def test_a_watcher_that_exits_is_restarted_and_counted() -> None:
    class Watcher(Toy):
        starts: ClassVar[int] = 0
        again: ClassVar[asyncio.Event]

        async def run(self) -> None:
            type(self).starts += 1
            if self.starts > 1:
                self.again.set()
                await asyncio.Event().wait()
            raise ValueError("ended")

    Watcher.again = asyncio.Event()
    scraper = Scraper([Watcher()])
    following = asyncio.create_task(scraper.run())
    async with asyncio.timeout(30):
        await Watcher.again.wait()
    page = series(await scraper.read(5))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await scraper.close()

    assert page['fleet_exporter_watcher_restarts_total{source="toy"}'] == 1


async def test_a_source_with_a_crash_looping_watcher_is_down_with_its_reason() -> None:
    class Crashing(Toy):
        exited: ClassVar[asyncio.Event]

        async def run(self) -> None:
            self.exited.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fail())

        async def fail(self) -> None:
            raise ModuleNotFoundError("No module named 'toys'")

    Crashing.exited = asyncio.Event()
    scraper = Scraper([Crashing()])
    watching = asyncio.create_task(scraper.run())
    async with asyncio.timeout(30):
        await Crashing.exited.wait()
        while not series(await scraper.read(5))['fleet_exporter_watcher_restarts_total{source="toy"}']:
            pass
    page = series(await scraper.read(5))
    (state,) = scraper.states
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await scraper.close()

    assert page[about("up")] == 0
    assert page[about("failure", reason="bug")] == 1
    assert "No module named 'toys'" in state.message


async def test_an_error_while_a_watcher_is_cancelled_does_not_restart_it() -> None:
    class Failing(Toy):
        running: ClassVar[asyncio.Event]

        async def run(self) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.read())

        async def read(self) -> None:
            try:
                self.running.set()
                await asyncio.Event().wait()
            finally:
                raise ConnectionResetError

    Failing.running = asyncio.Event()
    watching = asyncio.create_task(Scraper([Failing()]).run())
    await Failing.running.wait()
    watching.cancel()
    await asyncio.wait([watching], timeout=20)

    assert watching.cancelled()
