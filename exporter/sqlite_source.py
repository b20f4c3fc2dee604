"""A source that reads another program's SQLite file: all of it once, beside the scrapes, and at each scrape what is new."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path

from pydantic import PrivateAttr

from exporter.clients.sqlite import Identity, Reading, SqliteFile
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Sample
from exporter.source import LegacySource

_TRY_AGAIN = 1.0
"""Seconds after a first reading that failed."""


class SqliteSource(LegacySource):
    """One file; a subclass says what it is of, and answers `begins`, `read_on` and `samples`."""

    database: Path | None = None

    _identity: Identity | None = PrivateAttr(None)
    _has_begun: bool = PrivateAttr(False)
    _problem: SourceError | None = PrivateAttr(None)
    _tried: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _reading: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def enabled(self) -> bool:
        return self.database is not None

    @property
    def server(self) -> str:
        return str(self.database or "")

    def begins(self) -> None:
        """Forget what was read: the file is another one."""
        raise NotImplementedError

    def read_on(self, reading: Reading) -> None:
        """Read what is new, in stretches that keep no writer waiting; in a thread. Raises SourceError; sqlite3's pass."""
        raise NotImplementedError

    def rows_read(self) -> Iterable[Sample]:
        """What has been read."""
        raise NotImplementedError

    async def run(self) -> None:
        """The first reading, as often as it takes for it to succeed."""
        while not self._has_begun:
            try:
                await asyncio.to_thread(self._look)
                self._has_begun = True
            except SourceError:
                self._tried.set()
                await asyncio.sleep(_TRY_AGAIN)
        self._tried.set()

    async def wait_synced(self) -> None:
        await self._tried.wait()

    async def collect(self) -> Iterable[Sample]:
        await self._tried.wait()
        if not self._has_begun:
            raise self._not_read()
        await asyncio.to_thread(self._look)
        return list(self.rows_read())

    def check_read(self) -> None:
        """Raises SourceError while what the file holds is not known."""
        if self._problem is not None or not self._has_begun:
            raise self._not_read()

    def file(self) -> SqliteFile:
        """The file, for one look."""
        assert self.database is not None
        return SqliteFile(self.database, wait=self.timeout / 2)

    def _not_read(self) -> SourceError:
        return self._problem or SourceError(Reason.TIMEOUT, f"{self.database} is still being read")

    def _look(self) -> None:
        with self._reading:
            try:
                file = self.file()
                identity = file.identity()
                if identity != self._identity:
                    self.begins()
                    self._identity = identity
                with file.reading() as reading:
                    self.read_on(reading)
            except SourceError as error:
                self._problem = error
                raise
            self._problem = None
