"""Board and costs: does work move from inbox to done, what is stuck, and what do the agents' invocations cost?"""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, graph, stat, table
from dashboards.grafana.queries import RATE, Line, raw, shown
from dashboards.rows import costs
from dashboards.rows.common import alert_marks, source_health
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, is_not
from exporter.sources.taskboard import samples as board

_AGENTS = Link("Agents", View.AGENTS)
_STORIES = Link("Stories", View.STORIES)
_TASKS = ApiLink("These tasks, by name", path="/api/tasks")
_STUCK = (Limit(thresholds.TASK_STUCK_SECONDS, WARN),)
_KEY = ("agent", "priority")
_COLUMNS = (("inbox", "Inbox", QUIET), ("assigned", "Assigned", ACCENT), ("done", "Done", OK))
_PRIORITIES = {"critical": ("critical", BAD), "high": ("high", WARN)}


def _p95(metric: Metric) -> Query:
    """Tasks move too seldom for the window of a graph: those of a day."""
    buckets = shown(metric).part("_bucket").increase("1d")
    return raw(buckets.text, *buckets.labels, "le").sum("le").histogram_quantile(0.95)


def _counts() -> list[Panel]:
    return [
        stat(
            title,
            f"Tasks in the folder {column} (fleet_board_column_tasks).",
            Line(shown(board.COLUMNS, column=column).sum()),
            width=8,
            height=3,
            sparkline=True,
            decimals=0,
            base=colour,
            links=[_TASKS, _STORIES],
        )
        for column, title, colour in _COLUMNS
    ]


def _cards() -> list[Panel]:
    return [
        table(
            f"{title}: whose",
            f"Tasks in the folder {column} by agent and priority (fleet_board_tasks).",
            _KEY,
            [(Column("tasks", decimals=0, bar=True), Line(shown(board.TASKS, column=column).sum(*_KEY)))],
            key_columns=[Column("agent", links=[_TASKS, _AGENTS]), Column("priority", states=_PRIORITIES)],
            sort="tasks",
            width=8,
            height=9,
        )
        for column, title, _ in _COLUMNS
    ]


DASHBOARD = Dashboard(
    view=View.BOARD,
    title="Board and costs",
    description="Whether work moves from inbox to done, what is stuck, and what the agents' invocations cost.",
    variables=[*costs.VARIABLES, variables.EXPORTER_URL],
    annotations=[alert_marks("board|costs")],
    since="now-24h",
    rows=[
        Row(
            "",
            [
                *source_health("taskboard", "The board", width=3),
                stat(
                    "Oldest open task",
                    "Time since the oldest task that is not done was created (created_at); the colour is the alert's.",
                    Line(shown(board.OLDEST, column=is_not("done")).age().max()),
                    unit="s",
                    width=3,
                    limits=_STUCK,
                    links=[_TASKS, _STORIES],
                ),
                *source_health("costs", "The ledger", width=3),
                *costs.head(),
            ],
        ),
        Row("Board", [*_counts(), *_cards()]),
        Row(
            "Flow",
            [
                graph(
                    "Queue and cycle time",
                    "From creation to assignment and to completion: the median of the tasks there are now, and 95 of 100 of "
                    "those that moved in a day.",
                    Line(shown(board.MEDIAN_QUEUE).max(), "queue, median"),
                    Line(shown(board.MEDIAN_CYCLE).max(), "cycle, median"),
                    Line(_p95(board.QUEUE), "queue, p95"),
                    Line(_p95(board.CYCLE), "cycle, p95"),
                    unit="s",
                    width=8,
                    links=[_TASKS, _STORIES],
                ),
                graph(
                    "Oldest task",
                    "Time since the oldest task of each column that is not done was created; the line is the alert's.",
                    Line(shown(board.OLDEST, column=is_not("done")).age().max("column"), "{{column}}"),
                    unit="s",
                    width=8,
                    limits=_STUCK,
                    links=[_TASKS, _STORIES],
                ),
                graph(
                    "Changes",
                    "Changes of tasks by kind, and moves that the board's rules do not know, in each step of the graph "
                    "(fleet_board_changes_total, fleet_board_illegal_moves_total).",
                    Line(shown(board.MOVES).increase(RATE).sum("kind"), "{{kind}}"),
                    Line(shown(board.ILLEGAL).increase(RATE).sum(), "illegal"),
                    unit="short",
                    width=8,
                    columns=[Column("illegal", colour=BAD)],
                    links=[_TASKS, _STORIES],
                ),
                graph(
                    "Files that are no tasks",
                    "Files that cannot be read, by what is wrong, those over the cap, and tasks whose status is not their "
                    "folder's.",
                    Line(shown(board.UNREADABLE).sum("reason"), "{{reason}}"),
                    Line(shown(board.LEFT_OUT).sum(), "over the cap"),
                    Line(shown(board.DISAGREEING).sum(), "status disagrees"),
                    Line(shown(board.SIDE).sum("folder"), "in {{folder}}"),
                    unit="short",
                    decimals=0,
                    width=16,
                ),
                stat(
                    "Work that is open",
                    "Estimated work of the tasks that are not done (estimated_hours), and the time since the last look.",
                    Line(shown(board.ESTIMATED).sum(), "estimated"),
                    Line(shown(board.LOOKED).age().max(), "last look"),
                    unit="s",
                    names=True,
                    width=8,
                    height=8,
                    links=[_TASKS, _STORIES],
                ),
            ],
        ),
        costs.COSTS,
    ],
)
