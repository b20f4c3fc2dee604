"""The board as samples, and as the JSON of its own dashboard. Pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from exporter.fleet.registry import AGENTS
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import OTHER, Metric, Sample, Unit, counter, gauge, histogram, labels
from exporter.metrics.timestamps import rfc3339
from exporter.source import UNREADABLE_VALUES
from exporter.sources.taskboard.board import SECONDS, Board
from exporter.sources.taskboard.task import NONE, Column, Task, UnreadableReason

KINDS: Final = ("created", "assigned", "completed", "updated")
SYSTEM: Final = "board"
SOURCE: Final = "taskboard"
_AGENTS = 100
_FIELDS: Final = (
    "created_at", "created", "assigned_at", "started_at", "completed_at", "estimated_hours", "estimated_effort_hours",
)  # fmt: skip

TASKS = gauge(
    "fleet_board_tasks", "Tasks by column (the folder), agent, priority and status.", "column", "agent", "priority", "status"
)
COLUMNS = gauge("fleet_board_column_tasks", "Tasks in each column; 0 if it is empty.", "column")
OLDEST = gauge(
    "fleet_board_oldest_task_timestamp_seconds",
    "Creation time of a column's oldest task (created_at); no data if no task has one.",
    "column",
    unit=Unit.TIMESTAMP,
)
QUEUE = histogram(
    "fleet_board_queue_duration_seconds",
    "Time from creation to assignment, observed once per assignment since the start.",
    unit=Unit.SECONDS,
    bounds=SECONDS,
)
CYCLE = histogram(
    "fleet_board_cycle_duration_seconds",
    "Time from creation to completion, observed once per completion since the start.",
    unit=Unit.SECONDS,
    bounds=SECONDS,
)
MEDIAN_QUEUE = gauge(
    "fleet_board_median_queue_seconds", "Median time from creation to assignment of the tasks now on the board.",
    unit=Unit.SECONDS,
)  # fmt: skip
MEDIAN_CYCLE = gauge(
    "fleet_board_median_cycle_seconds", "Median time from creation to completion of the tasks now on the board.",
    unit=Unit.SECONDS,
)  # fmt: skip
MOVES = counter("fleet_board_changes_total", "Task changes since the start, by kind.", "kind")
ILLEGAL = counter("fleet_board_illegal_moves_total", "Status changes that the board's rules do not allow.")
STATUS_MISMATCH = gauge(
    "fleet_board_status_mismatch_tasks", "Tasks whose status does not match their folder; the folder takes precedence."
)
MISORDERED = gauge(
    "fleet_board_misordered_tasks",
    "Tasks with assigned_at or completed_at before created_at; durations exclude them.",
)
DUPLICATES = gauge("fleet_board_duplicate_tasks", "Task files with the id of another task file.")
UNREADABLE = gauge("fleet_board_unreadable_files", "Files of the board that are not tasks, by reason.", "reason")
ESTIMATED = gauge(
    "fleet_board_estimated_open_seconds",
    "Estimated work of the open tasks (estimated_hours); a range counts as its mean, a day as 8 hours.",
    unit=Unit.SECONDS,
)
UNESTIMATED = gauge("fleet_board_unestimated_tasks", "Open tasks without a readable estimate (estimated_hours).")
SIDE = gauge("fleet_board_side_files", "Task files outside the column folders.", "folder")
SKIPPED = gauge("fleet_board_skipped_files", "Files over taskboard.max_files, which are not read.")
LAST_SCAN = gauge("fleet_board_last_scan_timestamp_seconds", "Time of the last scan.", unit=Unit.TIMESTAMP)
METRICS: Final[tuple[Metric, ...]] = (
    TASKS, COLUMNS, OLDEST, QUEUE, CYCLE, MEDIAN_QUEUE, MEDIAN_CYCLE, MOVES, ILLEGAL, STATUS_MISMATCH, MISORDERED,
    DUPLICATES, UNREADABLE, ESTIMATED, UNESTIMATED, SIDE, SKIPPED, LAST_SCAN, AGENTS, UNREADABLE_VALUES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BoardSnapshot:
    """The board at its last scan; `figures` are the samples of its tasks, made once per scan."""

    tasks: tuple[Task, ...]
    unreadable: dict[str, UnreadableReason]
    """Why a file is not a task, by path below the root."""
    moves: dict[str, int]
    illegal: int
    queue: Histogram
    cycle: Histogram
    scanned: float
    figures: tuple[Sample, ...]


def snapshot_of(board: Board, scanned: float) -> BoardSnapshot:
    """The board now; `scanned` in seconds since 1970."""
    tasks, unreadable = tuple(board.tasks), board.unreadable
    return BoardSnapshot(
        tasks=tasks,
        unreadable=unreadable,
        moves={kind: board.moves[kind] for kind in KINDS},
        illegal=board.illegal,
        queue=board.queue.copy(),
        cycle=board.cycle.copy(),
        scanned=scanned,
        figures=(*_of_tasks(tasks), *_of_files(unreadable, board.side, board.skipped)),
    )


def samples(snapshot: BoardSnapshot) -> Iterable[Sample]:
    """Everything."""
    yield from snapshot.figures
    for kind, number in snapshot.moves.items():
        yield MOVES(number, kind=kind)
    yield ILLEGAL(snapshot.illegal)
    yield snapshot.queue.sample(QUEUE, labels())
    yield snapshot.cycle.sample(CYCLE, labels())
    yield LAST_SCAN(snapshot.scanned)


def _of_tasks(tasks: tuple[Task, ...]) -> Iterable[Sample]:
    busiest = {agent for agent, _ in Counter(task.agent for task in tasks).most_common(_AGENTS)}
    groups = Counter(
        (task.column, task.agent if task.agent in busiest else OTHER, task.priority, task.status) for task in tasks
    )
    for (column, agent, priority, status), number in groups.items():
        yield TASKS(number, column=column, agent=agent, priority=priority, status=status)
    by_column = Counter(task.column for task in tasks)
    for one in Column:
        yield COLUMNS(by_column[one], column=one)
        created = [task.created for task in tasks if task.column is one and task.created is not None]
        if created:
            yield OLDEST(min(created), column=one)
    for metric, spans in (
        (MEDIAN_QUEUE, [task.queued for task in tasks if task.queued is not None]),
        (MEDIAN_CYCLE, [task.cycle for task in tasks if task.cycle is not None]),
    ):
        if spans:
            yield metric(statistics.median(spans))
    for state, number in Counter(agent["state"] for agent in agents_view(tasks)).items():
        yield AGENTS(number, system=SYSTEM, role="unknown", state=state)
    yield STATUS_MISMATCH(sum(task.status_mismatch for task in tasks))
    yield MISORDERED(sum(task.is_misordered for task in tasks))
    yield DUPLICATES(sum(number for number in Counter(task.id for task in tasks).values() if number > 1))
    still_open = [task.estimate for task in tasks if task.column is not Column.DONE]
    yield ESTIMATED(sum(estimate for estimate in still_open if estimate is not None))
    yield UNESTIMATED(sum(estimate is None for estimate in still_open))
    fields = Counter(field for task in tasks for field in task.unreadable)
    for field in _FIELDS:
        yield UNREADABLE_VALUES(fields[field], source=SOURCE, field=field)


def _of_files(unreadable: dict[str, UnreadableReason], side: dict[str, int], skipped: int) -> Iterable[Sample]:
    reasons = Counter(unreadable.values())
    for reason in UnreadableReason:
        yield UNREADABLE(reasons[reason], reason=reason)
    for folder, number in side.items():
        yield SIDE(number, folder=folder)
    yield SKIPPED(skipped)


def task_view(task: Task) -> dict[str, Any]:
    since = {Column.INBOX: task.created, Column.ASSIGNED: task.assigned, Column.DONE: task.completed}[task.column]
    return {
        "id": task.id,
        "title": task.title,
        "agent": task.agent,
        "priority": task.priority,
        "status": task.status,
        "since": rfc3339(since or task.created),
        "status_disagrees": task.status_mismatch,
    }


def columns_view(board: BoardSnapshot) -> dict[str, Any]:
    """{inbox: [task], assigned: {agent: [task]}, done: {agent: [task]}, unreadable: {path: reason}}."""
    inbox: list[dict[str, Any]] = []
    by_agent: dict[Column, dict[str, list[dict[str, Any]]]] = {
        Column.ASSIGNED: defaultdict(list),
        Column.DONE: defaultdict(list),
    }
    for task in sorted(board.tasks, key=lambda task: (task.created or 0.0, task.id)):
        (inbox if task.column is Column.INBOX else by_agent[task.column][task.agent]).append(task_view(task))
    done, assigned = by_agent[Column.DONE], by_agent[Column.ASSIGNED]
    return {"inbox": inbox, "assigned": assigned, "done": done, "unreadable": board.unreadable}


def stats_view(board: BoardSnapshot) -> dict[str, Any]:
    """Counts of tasks by column, status, priority and agent."""
    tasks = list(board.tasks)
    return {
        "tasks": {
            "total": len(tasks),
            **{column: sum(task.column is column for task in tasks) for column in Column},
            "by_status": Counter(task.status for task in tasks),
            "by_priority": Counter(task.priority for task in tasks),
            "by_agent": Counter(task.agent for task in tasks),
            "unreadable": len(board.unreadable),
        }
    }


def agents_view(tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """The board's agents in the shape that all systems share: assigned while a task is in their folder, else idle."""
    at_work: dict[str, Task | None] = {}
    for task in tasks:
        if task.agent != NONE:
            at_work.setdefault(task.agent, None)
            if task.column is Column.ASSIGNED:
                at_work[task.agent] = task
    return [
        {
            "system": SYSTEM,
            "id": agent,
            "role": None,
            "state": "assigned" if task else "idle",
            "since": rfc3339(task.assigned) if task else None,
            "task": task.id if task else None,
        }
        for agent, task in sorted(at_work.items())
    ]
