"""A task board of YAML files (`inbox/`, `assigned/<agent>/`, `done/<agent>/`), told of changes by the file system.

A look at all folders every minute heals what was missed; only files that changed are read. Each change of a task is told
on the live stream. Nothing is written, no link followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import PrivateAttr

from exporter.config.options import Count, Seconds, option
from exporter.errors import Reason, SourceError
from exporter.events.broadcast import LiveStream
from exporter.events.model import Event, Outcome
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Metric, Sample, labels
from exporter.source import LegacySource
from exporter.sources.taskboard import samples
from exporter.sources.taskboard.board import Board, BoardMissing, Change, Look

FAMILY = "board"
_AGAIN = 0.5
"""Seconds until another look at files that may still be being written."""
_MISSING = 2.0
"""Seconds until another look at a folder that cannot be read."""


class Taskboard(LegacySource):
    """One board."""

    kind: ClassVar[str] = "taskboard"
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    root: Annotated[Path | None, option("Folder that holds inbox/, assigned/ and done/.")] = None
    rescan: Annotated[Seconds, option("Seconds between two looks at all folders.")] = 60.0
    max_files: Annotated[Count, option("Files read; what is over is counted.")] = 100_000

    _board: Board | None = PrivateAttr(None)
    _problem: SourceError | None = PrivateAttr(None)
    _samples: list[Sample] = PrivateAttr(default_factory=list)
    _looked: float = PrivateAttr(0.0)
    _changed: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _paths: set[str] = PrivateAttr(default_factory=set)
    _tried: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _live: LiveStream = PrivateAttr(default_factory=LiveStream)
    _queue: Histogram = PrivateAttr(default_factory=lambda: Histogram(samples.SECONDS))
    _cycle: Histogram = PrivateAttr(default_factory=lambda: Histogram(samples.SECONDS))

    @property
    def enabled(self) -> bool:
        return self.root is not None

    @property
    def server(self) -> str:
        return str(self.root or "")

    @property
    def live(self) -> LiveStream:
        return self._live

    async def wait_synced(self) -> None:
        await self._tried.wait()

    async def collect(self) -> Iterable[Sample]:
        await self._tried.wait()
        if self._problem is not None or self._board is None:
            raise self._problem or SourceError(Reason.TIMEOUT, f"{self.root} is still being read")
        return [
            *self._samples,
            self._queue.sample(samples.QUEUE, labels()),
            self._cycle.sample(samples.CYCLE, labels()),
            samples.LOOKED(self._looked),
        ]

    def columns(self) -> dict[str, Any]:
        """The tasks by column. Raises SourceError while they are not known."""
        return samples.columns_view(self._known())

    def agents(self) -> list[dict[str, Any]]:
        """Those whose name is on a task."""
        return samples.agents_view(self._board) if self._board is not None else []

    def stats(self) -> dict[str, Any]:
        """Counts of tasks. Raises SourceError while they are not known."""
        return samples.stats_view(self._known())

    def _known(self) -> Board:
        if self._problem is not None or self._board is None:
            raise self._problem or SourceError(Reason.TIMEOUT, f"{self.root} is still being read")
        return self._board

    async def run(self) -> None:
        """Look whenever something has changed, at what has changed, and at everything every so often; for ever."""
        assert self.root is not None
        board = Board(self.root, max_files=self.max_files)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(self.root), name=f"watch {self.root}")
            whole = time.monotonic()
            paths: frozenset[str] | None = None
            while True:
                again = await self._look(board, paths)
                if paths is None:
                    whole = time.monotonic()
                wait = min(self.rescan, _MISSING) if self._problem else self.rescan - (time.monotonic() - whole)
                paths = await self._changes_within(_AGAIN if again else max(wait, 0.0))

    async def _changes_within(self, seconds: float) -> frozenset[str] | None:
        """The paths that have changed; None when it is time to look at everything."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return None
        self._changed.clear()
        paths, self._paths = self._paths, set()
        return frozenset(paths) or None

    async def _watch(self, root: Path) -> None:
        """Note every path below the root that changes; a root that goes and comes again is watched anew."""
        from watchfiles import awatch

        while True:
            watched, stop = _identity(root), asyncio.Event()
            if watched is not None:
                watching = awatch(
                    root, debounce=50, step=10, rust_timeout=1000, yield_on_timeout=True, watch_filter=None, stop_event=stop
                )
                with contextlib.suppress(OSError):
                    async for changes in watching:
                        if changes:
                            self._paths |= {path for _, path in changes}
                            self._changed.set()
                        if _identity(root) != watched:
                            stop.set()
                self._changed.set()
            await asyncio.sleep(_AGAIN)

    async def _look(self, board: Board, paths: frozenset[str] | None) -> bool:
        """One look, at some files or at everything; whether another one is due soon."""

        def looked() -> Look:
            look = board.look_at(paths) if paths is not None and self._problem is None else None
            return look or board.look()

        try:
            look = await asyncio.to_thread(looked)
        except BoardMissing:
            self._problem = SourceError(Reason.UNREACHABLE, f"there is no folder {self.root}")
            look = Look()
        except OSError as error:
            reason = Reason.UNAUTHORIZED if isinstance(error, PermissionError) else Reason.UNREACHABLE
            self._problem = SourceError(reason, f"{self.root}: {error.strerror or error}")
            look = Look()
        else:
            for change in look.changes:
                self._told(change)
            self._samples = await asyncio.to_thread(lambda: list(samples.samples(board)))
            self._problem, self._board, self._looked = None, board, time.time()
        self._tried.set()
        return look.again

    def _told(self, change: Change) -> None:
        task, before = change.task, change.before
        if change.kind == "completed" and task.cycle is not None:
            self._cycle.observe(task.cycle)
        if change.kind == "assigned" and task.queued is not None:
            self._queue.observe(task.queued)
        self._live.publish(_event(change, time.time(), before.status if before else None))


def _identity(root: Path) -> tuple[int, int] | None:
    """Which folder stands under a path; None where there is none."""
    try:
        found = root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _event(change: Change, now: float, before: str | None) -> Event:
    task = change.task
    payload = samples.task_view(task) | {"column": task.column, "from_state": before, "to_state": task.status}
    data = msgspec.json.encode(payload)
    failed = task.status == "error"
    return Event(
        subject=f"task.{change.kind}",
        kind=f"task.{change.kind}",
        family=FAMILY,
        stream="",
        sequence=0,
        stored=now,
        time=None,
        producer="taskboard",
        story=None,
        plan=None,
        task=task.id,
        agent=None if task.agent == "none" else task.agent,
        role=None,
        ceremony=None,
        deliberation=None,
        outcome=Outcome.FAILED if failed else Outcome.COMPLETED if change.kind == "completed" else Outcome.NONE,
        duration=task.cycle if change.kind == "completed" else None,
        tokens=None,
        model=None,
        error=None,
        size=len(data),
        payload=payload,
        data=data,
    )
