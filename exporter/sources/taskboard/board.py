"""The board: what its folders hold, what has changed since the last look, and what it all adds up to.

A look lists the folders and reads only files that have changed. Links are not followed, so that none leads out or round.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exporter.sources.taskboard.task import Column, Place, Reason, Task, Unreadable, move_is_legal, parsed

ENDINGS = ("yaml", "yml")
SIDE_FOLDERS = ("archive", "fridge")
LARGEST = 1024 * 1024
"""Bytes of a file that is still read; a task has a few thousand."""
_SETTLED = 2.0
"""Seconds without a change after which a file that cannot be read is no longer taken for one that is being written."""


class Stamp(NamedTuple):
    """What tells that a file has changed."""

    inode: int
    size: int
    modified: int


class Change(NamedTuple):
    """What has become of a task: `created`, `assigned`, `completed` or `updated`; `before` where it was known."""

    kind: str
    task: Task
    before: Task | None


@dataclass(slots=True)
class Look:
    """What one look at the folders gave; `again` when a file may still be being written."""

    changes: list[Change] = field(default_factory=list)
    again: bool = False


class BoardMissing(Exception):
    """There is no such folder."""


@dataclass(slots=True)
class _File:
    stamp: Stamp
    place: Place
    content: Task | Unreadable


class Board:
    """Every task by its file."""

    def __init__(self, root: Path, *, max_files: int) -> None:
        self._root = root
        self._max_files = max_files
        self._files: dict[str, _File] = {}
        self._by_stem: dict[str, _File] = {}
        self._seen_before = False
        self.left_out = 0
        self.side: dict[str, int] = {}
        self.moves: Counter[str] = Counter()
        self.illegal = 0

    @property
    def tasks(self) -> Iterator[Task]:
        return (file.content for file in self._files.values() if isinstance(file.content, Task))

    @property
    def unreadable(self) -> dict[str, Reason]:
        """The paths below the root of files that are no tasks, and why."""
        return {path: file.content.reason for path, file in self._files.items() if isinstance(file.content, Unreadable)}

    def look(self) -> Look:
        """Look at all folders. Raises BoardMissing, or OSError where the root cannot be listed."""
        if not self._root.is_dir():
            raise BoardMissing
        found: dict[str, _File] = {}
        result = Look()
        self.left_out = 0
        for path, place, stamp in self._listed():
            if len(found) >= self._max_files:
                self.left_out += 1
            elif (file := self._file(path, place, stamp, result)) is not None:
                found[path] = file
        self._files = found
        self._by_stem = {file.place.stem: file for file in found.values()}
        self._seen_before = True
        self.side = {name: sum(1 for _ in self._files_below(self._root / name)) for name in SIDE_FOLDERS}
        return result

    def look_at(self, paths: Iterable[str]) -> Look | None:
        """Look at these files only; None when one of them is no task file, and only a look at everything will do."""
        here: dict[str, _File] = {}
        gone: list[str] = []
        result = Look()
        for full in paths:
            path = os.path.relpath(full, self._root)
            place, entry = _place(path), Path(full)
            try:
                found = entry.lstat()
            except OSError:
                if place is None and not entry.suffix:
                    return None  # a folder, perhaps
                gone.append(path)
                continue
            if stat.S_ISDIR(found.st_mode) or len(self._files) >= self._max_files:
                return None
            if place is None or not stat.S_ISREG(found.st_mode):
                continue
            stamp = Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
            if (file := self._file(path, place, stamp, result)) is not None:
                here[path] = file
        for path in gone:
            if (file := self._files.pop(path, None)) is not None and self._by_stem.get(file.place.stem) is file:
                del self._by_stem[file.place.stem]
        self._files |= here
        self._by_stem |= {file.place.stem: file for file in here.values()}
        return result

    def _file(self, path: str, place: Place, stamp: Stamp, result: Look) -> _File | None:
        """A file as it is now; what it was while it is still being written."""
        known = self._files.get(path) or self._by_stem.get(place.stem)
        if known is not None and known.stamp == stamp and known.place == place:
            return known
        content = self._read(path, place, stamp)
        if isinstance(content, Unreadable) and time.time() - stamp.modified / 1e9 < _SETTLED:
            result.again = True
            return known
        if isinstance(content, Task):
            self._changed(known.content if known is not None else None, content, result)
        return _File(stamp, place, content)

    def _changed(self, before: Task | Unreadable | None, task: Task, result: Look) -> None:
        if not self._seen_before:
            return  # what was there when the program began has not just happened
        known = before if isinstance(before, Task) else None
        if known == task:
            return
        if known is None:
            kind = "created"
        elif known.column != task.column and task.column is Column.DONE:
            kind = "completed"
        elif known.column != task.column and task.column is Column.ASSIGNED:
            kind = "assigned"
        else:
            kind = "updated"
        self.moves[kind] += 1
        if known is not None and not move_is_legal(known.status, task.status):
            self.illegal += 1
        result.changes.append(Change(kind, task, known))

    def _listed(self) -> Iterator[tuple[str, Place, Stamp]]:
        for column in Column:
            folder = self._root / column
            if column is Column.INBOX:
                yield from self._in_folder(folder, column, "")
                continue
            for entry in _entries(folder):
                if entry.is_dir(follow_symlinks=False):
                    yield from self._in_folder(Path(entry.path), column, entry.name)

    def _in_folder(self, folder: Path, column: Column, agent: str) -> Iterator[tuple[str, Place, Stamp]]:
        for entry in _entries(folder):
            stem, _, ending = entry.name.rpartition(".")
            if ending.lower() not in ENDINGS or not entry.is_file(follow_symlinks=False):
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:  # moved on while the folder was listed
                continue
            path = f"{column}/{agent}/{entry.name}" if agent else f"{column}/{entry.name}"
            yield path, Place(column, agent, stem), Stamp(found.st_ino, found.st_size, found.st_mtime_ns)

    def _files_below(self, folder: Path) -> Iterator[str]:
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from self._files_below(Path(entry.path))
            elif entry.name.rpartition(".")[2].lower() in ENDINGS:
                yield entry.path

    def _read(self, path: str, place: Place, stamp: Stamp) -> Task | Unreadable:
        if stamp.size > LARGEST:
            return Unreadable(Reason.TOO_LARGE)
        try:
            return parsed(place, (self._root / path).read_bytes())
        except OSError:
            return Unreadable(Reason.UNREACHABLE)


def _place(path: str) -> Place | None:
    """Where a path below the root lies on the board; None where it does not."""
    parts = Path(path).parts
    stem, _, ending = parts[-1].rpartition(".") if parts else ("", "", "")
    if ending.lower() not in ENDINGS or parts[0] not in tuple(Column):
        return None
    column = Column(parts[0])
    if len(parts) == 2 and column is Column.INBOX:
        return Place(column, "", stem)
    return Place(column, parts[1], stem) if len(parts) == 3 and column is not Column.INBOX else None


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except PermissionError:
        raise  # a folder that may not be read is not an empty one
    except OSError:
        return
