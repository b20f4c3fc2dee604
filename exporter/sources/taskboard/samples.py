"""The board as samples, and as the JSON that its own dashboard had. Pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from exporter.fleet.registry import AGENTS
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram
from exporter.sources.taskboard.board import SIDE_FOLDERS, Board
from exporter.sources.taskboard.task import NONE, Column, Reason, Task

KINDS: Final = ("created", "assigned", "completed", "updated")
SECONDS: Final = (60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 259200.0, 604800.0, 2592000.0)
SYSTEM: Final = "board"
_AGENTS = 100
_OTHER = "other"

TASKS = gauge(
    "fleet_board_tasks", "Tasks by column (the folder), agent, priority and status.", "column", "agent", "priority", "status"
)
COLUMNS = gauge("fleet_board_column_tasks", "Tasks in each column, 0 for an empty one.", "column")
OLDEST = gauge(
    "fleet_board_oldest_task_timestamp_seconds",
    "When the oldest task of a column was created (created_at); absent where none says so.",
    "column",
    unit=Unit.TIMESTAMP,
)
QUEUE = histogram(
    "fleet_board_queue_duration_seconds",
    "Time from creation to assignment, counted when a task is seen to be assigned.",
    unit=Unit.SECONDS,
)
CYCLE = histogram(
    "fleet_board_cycle_duration_seconds",
    "Time from creation to completion, counted when a task is seen to be completed.",
    unit=Unit.SECONDS,
)
MEDIAN_QUEUE = gauge(
    "fleet_board_median_queue_seconds", "Median time from creation to assignment of the tasks that are there now.",
    unit=Unit.SECONDS,
)  # fmt: skip
MEDIAN_CYCLE = gauge(
    "fleet_board_median_cycle_seconds", "Median time from creation to completion of the tasks that are there now.",
    unit=Unit.SECONDS,
)  # fmt: skip
MOVES = counter("fleet_board_changes_total", "Changes of tasks since the start, by kind.", "kind")
ILLEGAL = counter("fleet_board_illegal_moves_total", "Changes of status that the board's rules do not know.")
DISAGREEING = gauge("fleet_board_disagreeing_tasks", "Tasks whose status is not one of their folder's; the folder counts.")
UNREADABLE = gauge("fleet_board_unreadable_files", "Files of the board that are no tasks, by what is wrong.", "reason")
ESTIMATED = gauge(
    "fleet_board_estimated_open_seconds", "Estimated work of the tasks that are not done (estimated_hours).",
    unit=Unit.SECONDS,
)  # fmt: skip
SIDE = gauge("fleet_board_side_files", "Task files beside the board.", "folder")
LEFT_OUT = gauge("fleet_board_left_out_files", "Files over the cap on files, which are not read.")
LOOKED = gauge("fleet_board_last_look_timestamp_seconds", "When the folders were last looked at.", unit=Unit.TIMESTAMP)
METRICS: Final[tuple[Metric, ...]] = (
    TASKS, COLUMNS, OLDEST, QUEUE, CYCLE, MEDIAN_QUEUE, MEDIAN_CYCLE, MOVES, ILLEGAL, DISAGREEING, UNREADABLE, ESTIMATED,
    SIDE, LEFT_OUT, LOOKED, AGENTS,
)  # fmt: skip


def samples(board: Board) -> Iterable[Sample]:
    """What the board holds now."""
    tasks = list(board.tasks)
    busiest = {agent for agent, _ in Counter(task.agent for task in tasks).most_common(_AGENTS)}
    groups = Counter(
        (task.column, task.agent if task.agent in busiest else _OTHER, task.priority, task.status) for task in tasks
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
    for kind in KINDS:
        yield MOVES(board.moves[kind], kind=kind)
    yield ILLEGAL(board.illegal)
    for state, number in Counter(agent["state"] for agent in agents_view(board)).items():
        yield AGENTS(number, system=SYSTEM, role="unknown", state=state)
    yield DISAGREEING(sum(task.disagrees for task in tasks))
    wrong = Counter(board.unreadable.values())
    for reason in Reason:
        yield UNREADABLE(wrong[reason], reason=reason)
    yield ESTIMATED(sum(task.estimate or 0.0 for task in tasks if task.column is not Column.DONE))
    for folder in SIDE_FOLDERS:
        yield SIDE(board.side.get(folder, 0), folder=folder)
    yield LEFT_OUT(board.left_out)


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def task_view(task: Task) -> dict[str, Any]:
    since = {Column.INBOX: task.created, Column.ASSIGNED: task.assigned, Column.DONE: task.completed}[task.column]
    return {
        "id": task.id,
        "title": task.title,
        "agent": task.agent,
        "priority": task.priority,
        "status": task.status,
        "since": _iso(since or task.created),
        "status_disagrees": task.disagrees,
    }


def columns_view(board: Board) -> dict[str, Any]:
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


def stats_view(board: Board) -> dict[str, Any]:
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


def agents_view(board: Board) -> list[dict[str, Any]]:
    """The board's agents for the view that all systems share: assigned while a task lies in their folder, else idle."""
    at_work: dict[str, Task | None] = {}
    for task in board.tasks:
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
            "since": _iso(task.assigned) if task else None,
            "task": task.id if task else None,
        }
        for agent, task in sorted(at_work.items())
    ]
