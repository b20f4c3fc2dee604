"""Read-only access to another program's SQLite database: no writes, no leftover files, no locks that delay its writer.

Every collection is a short transaction, so a writer waits milliseconds at most. A database in WAL mode that no writer has
open is read as immutable, because SQLite would otherwise leave its `-wal` and `-shm` files next to it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from exporter.clients.backoff import Backoff
from exporter.errors import Reason, SourceError

_HEADER = b"SQLite format 3\x00"
_WAL_VERSION = 2
_SMALLEST = 100
_RETRY = 1.0
"""Retry delay in seconds after the first collection failed."""
_PRIMARY_CODE = 0xFF

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The file under a path; it differs after the file was replaced."""

    device: int
    inode: int


class SqliteFile:
    """One database file; `wait` is the busy timeout in seconds."""

    def __init__(self, path: Path, *, wait: float) -> None:
        self._path = path
        self._wait = wait

    def identity(self) -> FileIdentity:
        """The file's device and inode. Raises SourceError if there is no file."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unreachable(error) from None
        if not stat.S_ISREG(found.st_mode):  # opening a FIFO waits for its writer
            raise SourceError(Reason.CONFIG, f"{self._path}: expected a file, got a {_kind(found.st_mode)}; check the path")
        return FileIdentity(found.st_dev, found.st_ino)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A read-only connection. Raises SourceError, also for SQLite's errors inside the block."""
        connection: sqlite3.Connection | None = None
        self.identity()
        try:
            address = f"file:{quote(str(self._path))}?mode=ro{'&immutable=1' if self._is_unused() else ''}"
            connection = sqlite3.connect(
                address, uri=True, timeout=self._wait, isolation_level=None, check_same_thread=False
            )
            connection.text_factory = _text
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")
            yield Reading(connection)
        except sqlite3.Error as error:
            raise self._classified(error) from None
        finally:
            if connection is not None:
                connection.close()

    def _classified(self, error: sqlite3.Error) -> SourceError:
        code = getattr(error, "sqlite_errorcode", None)
        match code & _PRIMARY_CODE if code is not None else None:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return SourceError(Reason.TIMEOUT, f"{self._path} is locked by its writer")
            case sqlite3.SQLITE_ERROR:
                return SourceError(Reason.MALFORMED, f"{self._path}: unexpected schema: {error}")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return SourceError(Reason.MALFORMED, f"{self._path}: damaged or not an SQLite database: {error}")
            case sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return SourceError(Reason.UNAUTHORIZED, f"{self._path}: {error}")
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return SourceError(Reason.MALFORMED, f"{self._path}: cannot be read: {error}")
        return SourceError(Reason.UNREACHABLE, f"{self._path}: cannot be opened: {error}")

    def _is_unused(self) -> bool:
        """Whether it is in WAL mode and no program has it open. Raises SourceError if it cannot be read."""
        try:
            with self._path.open("rb") as file:
                header = file.read(_SMALLEST)
        except OSError as error:
            raise self._unreachable(error) from None
        if not header:
            return False  # an empty file is an empty database
        if not header.startswith(_HEADER):
            raise SourceError(Reason.MALFORMED, f"{self._path}: expected an SQLite database, got another file")
        return _WAL_VERSION in header[18:20] and not Path(f"{self._path}-wal").exists()

    def _unreachable(self, error: OSError) -> SourceError:
        reason = Reason.UNAUTHORIZED if isinstance(error, PermissionError) else Reason.UNREACHABLE
        return SourceError(reason, f"{self._path}: {error.strerror or error}")


def _kind(mode: int) -> str:
    names = ((stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "FIFO"), (stat.S_ISSOCK, "socket"))
    return next((name for is_kind, name in names if is_kind(mode)), "device")


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


class Reading:
    """Queries on an open database, in one transaction until `release`. Raises sqlite3's errors.

    Rows are addressed by `rowid`: the key of a table may be of any type. Names of tables are the caller's own constants.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def release(self) -> None:
        """Let a writer in between two parts of a long collection."""
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Every row of a query."""
        return self._connection.execute(query, parameters).fetchall()

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None without a row."""
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    def first_row(self, table: str) -> int:
        """The lowest `rowid` of a table; 0 if it is empty."""
        return self.value(f"SELECT MIN(rowid) FROM {table}") or 0  # noqa: S608 - the source's own table names

    def last_row(self, table: str) -> int:
        """The highest `rowid` of a table; 0 if it is empty."""
        return self.value(f"SELECT MAX(rowid) FROM {table}") or 0  # noqa: S608 - the source's own table names

    def last_of(self, table: str, after: int, rows: int) -> int:
        """The `rowid` of the last of the next `rows` rows after `after`, whatever the gaps; there must be one."""
        following = f"SELECT MAX(rowid) FROM (SELECT rowid FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?)"  # noqa: S608 - the source's own table names
        return int(self.value(following, (after, rows)))

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; empty if there is no such table."""
        return frozenset(str(row[0]) for row in self.rows("SELECT name FROM pragma_table_info(?)", (table,)))


class SqliteReader(Generic[T]):
    """Reads one database in threads, one collection at a time: all rows at first, then new ones.

    `begin` is called before a file is read for the first time, also after it was replaced. `read` returns the snapshot.

    """

    def __init__(self, path: Path, *, wait: float, begin: Callable[[], None], read: Callable[[Reading], T]) -> None:
        self.path = path
        self._file = SqliteFile(path, wait=wait)
        self._begin, self._read = begin, read
        self._identity: FileIdentity | None = None
        self._first: T | None = None
        self._problem: SourceError | None = None
        self._tried = asyncio.Event()
        self._lock = threading.Lock()

    async def start(self) -> None:
        """Return after the first successful collection; retries until then."""
        delays = Backoff(first=_RETRY / 4, longest=_RETRY)
        while self._first is None:
            try:
                self._first = await asyncio.to_thread(self._update)
            except SourceError as error:
                self._problem = error
            finally:
                self._tried.set()
            if self._first is None:
                await asyncio.sleep(delays.next())

    async def wait_tried(self) -> None:
        """Return when the first collection has succeeded or failed."""
        await self._tried.wait()

    async def update(self) -> T:
        """The current snapshot. Raises SourceError, also while the first collection has not succeeded."""
        await self._tried.wait()
        if self._first is None and self._problem is not None:
            raise self._problem.again()
        return await asyncio.to_thread(self._update)

    async def ask(self, query: Callable[[Reading], Any], *, locked: bool = False) -> Any:
        """The result of `query` in a separate transaction; `locked`: not concurrent with another one. Raises SourceError."""

        def asked() -> Any:
            with self._file.reading() as reading:
                return query(reading)

        def alone() -> Any:
            with self._lock:
                return asked()

        return await asyncio.to_thread(alone if locked else asked)

    def _update(self) -> T:
        with self._lock:
            identity = self._file.identity()
            with self._file.reading() as reading:
                if identity != self._identity:
                    self._begin()
                    self._identity = identity
                return self._read(reading)
