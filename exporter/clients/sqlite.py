"""Reading another program's SQLite file: never writing to it, leaving nothing beside it, never in its writer's way.

Every look is a transaction of its own and short, so that a writer waits milliseconds at most. A file in WAL mode that no
writer has open is read as immutable, because SQLite would leave its `-wal` and `-shm` beside it otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from exporter.errors import Reason, SourceError

_HEADER = b"SQLite format 3\x00"
_WAL_VERSION = 2
_SMALLEST = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file stands under a path: another one after it was replaced."""

    device: int
    inode: int


class SqliteFile:
    """One database file; `wait` is how long a lock of the writer's is waited for, in seconds."""

    def __init__(self, path: Path, *, wait: float) -> None:
        self._path = path
        self._wait = wait

    def identity(self) -> Identity:
        """Raises SourceError where there is no file."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unreachable(error) from None
        return Identity(found.st_dev, found.st_ino)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A connection that can only read. Raises SourceError, also for what fails inside."""
        connection: sqlite3.Connection | None = None
        try:
            address = f"file:{quote(str(self._path))}?mode=ro{'&immutable=1' if self._is_left_alone() else ''}"
            connection = sqlite3.connect(
                address, uri=True, timeout=self._wait, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only = 1")
            yield Reading(connection)
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                raise SourceError(Reason.TIMEOUT, f"{self._path} is locked by its writer") from None
            if "no such" in text:
                raise SourceError(Reason.MALFORMED, f"{self._path} has another schema: {text}") from None
            raise SourceError(Reason.UNREACHABLE, f"{self._path} cannot be opened: {text}") from None
        except sqlite3.DatabaseError as error:
            raise SourceError(Reason.MALFORMED, f"{self._path} is damaged or no SQLite database: {error}") from None
        finally:
            if connection is not None:
                connection.close()

    def _is_left_alone(self) -> bool:
        """Whether it is in WAL mode and nobody has it open. Raises SourceError where it cannot be read at all."""
        try:
            with self._path.open("rb") as file:
                header = file.read(_SMALLEST)
        except OSError as error:
            raise self._unreachable(error) from None
        if not header:
            return False  # an empty file is an empty database
        if not header.startswith(_HEADER):
            raise SourceError(Reason.MALFORMED, f"{self._path} is no SQLite database")
        return _WAL_VERSION in header[18:20] and not Path(f"{self._path}-wal").exists()

    def _unreachable(self, error: OSError) -> SourceError:
        reason = Reason.UNAUTHORIZED if isinstance(error, PermissionError) else Reason.UNREACHABLE
        return SourceError(reason, f"{self._path}: {error.strerror or error}")


class Reading:
    """Queries on an open file; sqlite3's errors pass through."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, parameters).fetchall()

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None where there is none."""
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    def newest(self, table: str) -> int:
        """The last `id` of a table; 0 where it has no row. The name is the caller's own: it is not quoted."""
        return int(self.value(f"SELECT MAX(id) FROM {table}") or 0)  # noqa: S608

    def end_of_stretch(self, table: str, last: int, rows: int) -> int:
        """The `id` of the last of so many rows after `last`, whatever the gaps between them; there must be one."""
        following = f"SELECT MAX(id) FROM (SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT ?)"  # noqa: S608
        return int(self.value(following, (last, rows)))

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; none where there is no such table."""
        return frozenset(str(row[0]) for row in self.rows("SELECT name FROM pragma_table_info(?)", (table,)))


def up_to(column: str, bounds: Sequence[float]) -> str:
    """Columns of a query: how many rows are no more than each bound, for Histogram.add_cumulative; null of no number."""
    return ", ".join(f"SUM({column} <= {bound:g})" for bound in bounds)
