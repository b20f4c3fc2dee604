"""A task board of YAML files (`inbox/`, `assigned/<agent>/`, `done/<agent>/`), watched for changes.

A full scan every minute catches what the watch missed; only files that changed are read. Each change of a task is
published on the live stream. Nothing is written, no link followed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.events.broadcast import EventBroadcaster
from exporter.events.model import Event, Outcome
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.taskboard import TaskboardOptions as TaskboardOptions
from exporter.sources.taskboard import samples
from exporter.sources.taskboard.board import Board, BoardMissing, Change, Scan
from exporter.sources.taskboard.samples import BoardSnapshot

log = logging.getLogger(__name__)

FAMILY = "board"
_AGAIN = 0.5
"""Seconds until the next scan of files that may be half-written."""
_MISSING = 2.0
"""Seconds until the next scan of a folder that cannot be read."""


class Taskboard(Source, Target[BoardSnapshot]):
    """Watches one board."""

    kind: ClassVar[str] = samples.SOURCE
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    def __init__(self, options: TaskboardOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        assert options.root is not None
        self._root = options.root
        self._rescan = options.rescan_interval
        self._board = Board(options.root, max_files=options.max_files)
        self._snapshot: BoardSnapshot | None = None
        self._problem: SourceError | None = None
        self._changed, self._tried = asyncio.Event(), asyncio.Event()
        self._paths: set[str] = set()
        self._live = EventBroadcaster()

    @property
    def server(self) -> str:
        return str(self._root)

    @property
    def live(self) -> EventBroadcaster:
        return self._live

    def disconnect_clients(self) -> None:
        self._live.disconnect()

    async def wait_synced(self) -> None:
        await self._tried.wait()

    async def collect(self) -> BoardSnapshot:
        await self._tried.wait()
        if self._problem is not None:
            raise self._problem.again()
        assert self._snapshot is not None  # a scan that has not failed has given one
        return self._snapshot

    def samples(self, snapshot: BoardSnapshot) -> Iterable[Sample]:
        return samples.samples(snapshot)

    def agents(self) -> list[dict[str, Any]]:
        """The agents whose name is on a task."""
        return samples.agents_view(self._snapshot.tasks) if self._snapshot is not None else []

    async def run(self) -> None:
        """Scan what has changed, and everything at an interval, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(self._root), name=f"watch {self._root}")
            whole = time.monotonic()
            paths: frozenset[str] | None = None
            while True:
                again = await self._scan(paths)
                if paths is None:
                    whole = time.monotonic()
                wait = min(self._rescan, _MISSING) if self._problem else self._rescan - (time.monotonic() - whole)
                paths = await self._changes_within(_AGAIN if again else max(wait, 0.0))

    async def _changes_within(self, seconds: float) -> frozenset[str] | None:
        """The paths that have changed; None when a full scan is due."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return None
        self._changed.clear()
        paths, self._paths = self._paths, set()
        return frozenset(paths) or None

    async def _watch(self, root: Path) -> None:
        """Note every path below the root that changes; a root that is replaced is watched again."""
        from watchfiles import awatch

        is_reported = False
        while True:
            watched, stop = _identity(root), asyncio.Event()
            if watched is not None:
                watching = awatch(
                    root, debounce=50, step=10, rust_timeout=1000, yield_on_timeout=True, watch_filter=None, stop_event=stop
                )
                try:
                    async for changes in watching:
                        is_reported = False
                        if changes:
                            self._paths |= {path for _, path in changes}
                            self._changed.set()
                        if _identity(root) != watched:
                            stop.set()
                except (OSError, RuntimeError) as error:  # RuntimeError: the node has no inotify instance left
                    if not is_reported:
                        log.warning("changes are not watched; scanning only", extra={"root": str(root), "error": str(error)})
                    is_reported = True
                self._changed.set()
            await asyncio.sleep(_AGAIN)

    async def _scan(self, paths: frozenset[str] | None) -> bool:
        """Scan some files or everything; whether the next scan is due soon."""

        def scanned() -> tuple[Scan, BoardSnapshot]:
            scan = self._board.scan_files(paths) if paths is not None and self._problem is None else None
            scan = scan or self._board.scan()
            return scan, samples.snapshot_of(self._board, time.time())

        try:
            scan, self._snapshot = await asyncio.to_thread(scanned)
        except BoardMissing:
            self._problem = SourceError(Reason.UNREACHABLE, f"{self._root}: no such folder")
            scan = Scan()
        except OSError as error:
            reason = Reason.UNAUTHORIZED if isinstance(error, PermissionError) else Reason.UNREACHABLE
            self._problem = SourceError(reason, f"{self._root}: {error.strerror or error}")
            scan = Scan()
        else:
            self._problem = None
            for change in scan.changes:
                self._live.publish(_event(change, time.time(), change.before.status if change.before else None))
        self._tried.set()
        return scan.again


def _identity(root: Path) -> tuple[int, int] | None:
    """The folder under a path; None if there is none."""
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
