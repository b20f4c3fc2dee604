"""The board's files: what its folders hold, and what has changed since the last scan.

A scan lists the folders and reads only files that have changed. Symbolic links are not followed, so that none leads out of
the board or around in it.
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

from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import OTHER
from exporter.sources.taskboard.task import (
    Column,
    Task,
    TaskLocation,
    UnreadableFile,
    UnreadableReason,
    move_is_legal,
    parsed,
)

ENDINGS = ("yaml", "yml")
SIDE_FOLDERS = ("archive", "fridge")
SECONDS = (
    60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0, 28800.0, 43200.0, 64800.0, 86400.0, 172800.0, 259200.0,
    604800.0, 2592000.0,
)  # fmt: skip
LARGEST = 1024 * 1024
"""Largest file that is read, in bytes; a task has a few thousand."""
_SETTLED = 2.0
"""Seconds without a change after which an unreadable file is no longer assumed to be half-written."""
_SIDE_FOLDERS = 20


class Stamp(NamedTuple):
    """Differs after a file has changed."""

    inode: int
    size: int
    modified: int


class Change(NamedTuple):
    """A task was `created`, `assigned`, `completed` or `updated`; `before` if it was known."""

    kind: str
    task: Task
    before: Task | None
    stem: str


@dataclass(slots=True)
class Scan:
    """The result of one scan; `again` if a file may be half-written."""

    changes: list[Change] = field(default_factory=list)
    again: bool = False


class BoardMissing(Exception):
    """The board's folder does not exist."""


@dataclass(slots=True)
class _File:
    stamp: Stamp
    place: TaskLocation
    content: Task | UnreadableFile


class Board:
    """Every task by its file, and what was counted about them."""

    def __init__(self, root: Path, *, max_files: int) -> None:
        self._root = root
        self._max_files = max_files
        self._files: dict[str, _File] = {}
        self._by_stem: dict[str, _File] = {}
        self._observed: dict[str, tuple[float | None, float | None]] = {}
        self._has_scanned = False
        self.skipped = 0
        self.side: dict[str, int] = {}
        self.moves: Counter[str] = Counter()
        self.illegal = 0
        self.queue, self.cycle = Histogram(SECONDS), Histogram(SECONDS)

    @property
    def tasks(self) -> Iterator[Task]:
        return (file.content for file in self._files.values() if isinstance(file.content, Task))

    @property
    def unreadable(self) -> dict[str, UnreadableReason]:
        """Why a file is not a task, by path below the root."""
        return {path: file.content.reason for path, file in self._files.items() if isinstance(file.content, UnreadableFile)}

    def scan(self) -> Scan:
        """Scan all folders. Raises BoardMissing, or OSError if the root cannot be listed."""
        if not self._root.is_dir():
            raise BoardMissing
        found: dict[str, _File] = {}
        result = Scan()
        skipped = 0
        for path, place, stamp in self._listed():
            if len(found) >= self._max_files:
                skipped += 1
            elif (file := self._file(path, place, stamp, result)) is not None:
                found[path] = file
        side = self._side_folders()
        self._files, self.skipped, self.side = found, skipped, side
        self._by_stem = {file.place.stem: file for file in found.values()}
        self._count(result)
        self._has_scanned = True
        return result

    def scan_files(self, paths: Iterable[str]) -> Scan | None:
        """Scan these files only; None if one of them is not a file of a column, so that only a full scan will do."""
        present: list[tuple[str, TaskLocation, Stamp | None]] = []
        gone: list[str] = []
        for full in paths:
            path = os.path.relpath(full, self._root)
            place, entry = _place(path), Path(full)
            try:
                found = entry.lstat()
            except OSError:
                if place is None and not entry.suffix:
                    return None  # it may have been a folder
                gone.append(path)
                continue
            if stat.S_ISDIR(found.st_mode) or len(self._files) + len(present) >= self._max_files:
                return None
            if place is not None:
                present.append((path, place, _stamp(found)))
        # Nothing is read before it is certain that this scan counts: a change must not be counted twice.
        result = Scan()
        read = {path: self._file(path, place, stamp, result) for path, place, stamp in present}
        here = {path: file for path, file in read.items() if file is not None}
        for path in gone:
            if (file := self._files.pop(path, None)) is not None and self._by_stem.get(file.place.stem) is file:
                del self._by_stem[file.place.stem]
        self._files |= here
        self._by_stem |= {file.place.stem: file for file in here.values()}
        self._count(result)
        return result

    def _file(self, path: str, place: TaskLocation, stamp: Stamp | None, result: Scan) -> _File | None:
        """The current file; while it is half-written, its previous content. `stamp` is None if it is not a regular file."""
        if stamp is None:
            return _File(Stamp(0, 0, 0), place, UnreadableFile(UnreadableReason.SYMLINK))
        known = self._files.get(path) or self._by_stem.get(place.stem)
        if known is not None and known.stamp == stamp and known.place == place:
            return known
        content = self._read(path, place, stamp)
        if isinstance(content, UnreadableFile) and time.time() - stamp.modified / 1e9 < _SETTLED:
            result.again = True
            return known
        if isinstance(content, Task):
            before = known.content if known is not None and isinstance(known.content, Task) else None
            if before != content:
                result.changes.append(Change(_kind(before, content), content, before, place.stem))
        return _File(stamp, place, content)

    def _count(self, result: Scan) -> None:
        """Count the changes of a scan; the first scan is the baseline."""
        if not self._has_scanned:
            for change in result.changes:
                self._observe(change, counts=False)
            result.changes = []
        for kind, task, before, _ in result.changes:
            self.moves[kind] += 1
            if before is not None and not move_is_legal(before.status, task.status):
                self.illegal += 1
        for change in result.changes:
            self._observe(change, counts=True)

    def _observe(self, change: Change, *, counts: bool) -> None:
        """Observe the queue and cycle time of a task once for each assignment and completion, in any order of edits."""
        task = change.task
        assigned, completed = self._observed.pop(change.stem, (None, None))
        if task.column is not Column.INBOX and task.assigned is not None and task.assigned != assigned:
            assigned = task.assigned
            if counts and task.queued is not None:
                self.queue.observe(task.queued)
        if task.column is Column.DONE and task.completed is not None and task.completed != completed:
            completed = task.completed
            if counts and task.cycle is not None:
                self.cycle.observe(task.cycle)
        if assigned is not None or completed is not None:
            self._observed[change.stem] = (assigned, completed)
        if len(self._observed) > 2 * self._max_files:
            del self._observed[next(iter(self._observed))]

    def _listed(self) -> Iterator[tuple[str, TaskLocation, Stamp | None]]:
        """Every task file of the columns, at any depth; no stamp for a symbolic link."""
        for column in Column:
            for path, entry in self._files_below(self._root / column, column):
                place = _place(path)
                if place is None:
                    continue
                try:
                    yield path, place, _stamp(entry.stat(follow_symlinks=False))
                except OSError:  # moved on while the folder was listed
                    continue

    def _files_below(self, folder: Path, path: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        for entry in _entries(folder):
            below = f"{path}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._files_below(Path(entry.path), below)
            elif entry.name.rpartition(".")[2].lower() in ENDINGS:
                yield below, entry

    def _side_folders(self) -> dict[str, int]:
        """Task files by top-level folder that is not a column; the smallest folders over 20 together as `other`."""
        found = {
            entry.name[:100]: sum(1 for _ in self._files_below(Path(entry.path), entry.name))
            for entry in _entries(self._root)
            if entry.is_dir(follow_symlinks=False) and entry.name not in tuple(Column)
        }
        known = Counter(dict.fromkeys(SIDE_FOLDERS, 0) | {name: number for name, number in found.items() if number})
        kept = dict(known.most_common(_SIDE_FOLDERS)) | {name: known[name] for name in SIDE_FOLDERS}
        if rest := sum(number for name, number in known.items() if name not in kept):
            kept[OTHER] = kept.get(OTHER, 0) + rest
        return kept

    def _read(self, path: str, place: TaskLocation, stamp: Stamp) -> Task | UnreadableFile:
        if stamp.size > LARGEST:
            return UnreadableFile(UnreadableReason.TOO_LARGE)
        try:
            return parsed(place, (self._root / path).read_bytes())
        except OSError:
            return UnreadableFile(UnreadableReason.UNREACHABLE)


def _kind(before: Task | None, task: Task) -> str:
    if before is None:
        return "created"
    if before.column != task.column:
        if task.column is Column.DONE:
            return "completed"
        if task.column is Column.ASSIGNED:
            return "assigned"
    return "updated"


def _stamp(found: os.stat_result) -> Stamp | None:
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _place(path: str) -> TaskLocation | None:
    """Where a path below the root is on the board; None if it is not on it."""
    parts = Path(path).parts
    stem, _, ending = parts[-1].rpartition(".") if parts else ("", "", "")
    if len(parts) < 2 or ending.lower() not in ENDINGS or parts[0] not in tuple(Column):
        return None
    column = Column(parts[0])
    return TaskLocation(column, parts[1] if len(parts) > 2 and column is not Column.INBOX else "", stem)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except PermissionError:
        raise  # an unreadable folder is not an empty one
    except OSError:
        return
