"""Dashboard "Board and costs": tasks from inbox to done, stuck tasks, and the cost of agent invocations."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, graph, stat, table
from dashboards.grafana.queries import STEP, PrometheusTarget, raw, selector
from dashboards.rows import costs
from dashboards.rows.common import alert_marks, source_health
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, is_not
from exporter.source import UNREADABLE_VALUES
from exporter.sources.taskboard import samples as board

_AGENTS = Link("Agents", DashboardUid.AGENTS)
_STORIES = Link("Stories", DashboardUid.STORIES)
_TASKS = ApiLink("Tasks by name", path="/api/tasks")
_HOUR = 3600
"""Axes of tasks are in hours or days: Grafana divides an axis of seconds at 2.78 h, 5.56 h and so on."""
_STUCK = (Threshold(thresholds.TASK_STUCK_SECONDS, WARN),)
_KEY = ("agent", "priority")
_COLUMNS = (("inbox", "Inbox", QUIET), ("assigned", "Assigned", ACCENT), ("done", "Done", OK))
_PRIORITIES = {"critical": ("critical", BAD), "high": ("high", WARN)}


def _p95(metric: Metric) -> Query:
    """p95 over one day: tasks move too rarely for a shorter window."""
    buckets = selector(metric).part("_bucket").increase("1d")
    return raw(buckets.text, *buckets.labels, "le").sum("le").histogram_quantile(0.95)


def _counts() -> list[Panel]:
    return [
        stat(
            title,
            f"Tasks in the folder {column} (fleet_board_column_tasks).",
            PrometheusTarget(selector(board.COLUMNS, column=column).sum()),
            width=8,
            height=3,
            decimals=0,
            base=color,
            links=[_TASKS, _STORIES],
        )
        for column, title, color in _COLUMNS
    ]


def _cards() -> list[Panel]:
    return [
        table(
            f"{title} by agent",
            f"Tasks in the folder {column} by agent and priority (fleet_board_tasks).",
            _KEY,
            [
                (
                    FieldOverride("tasks", decimals=0, bar=True),
                    PrometheusTarget(selector(board.TASKS, column=column).sum(*_KEY)),
                )
            ],
            key_columns=[FieldOverride("agent", links=[_TASKS, _AGENTS]), FieldOverride("priority", states=_PRIORITIES)],
            sort="tasks",
            width=8,
            height=9,
        )
        for column, title, _ in _COLUMNS
    ]


DASHBOARD = Dashboard(
    view=DashboardUid.BOARD,
    title="Board and costs",
    description="Do tasks move from inbox to done, and what do agent invocations cost?",
    variables=[*costs.VARIABLES, variables.EXPORTER_URL],
    annotations=[alert_marks("board|costs")],
    since="now-24h",
    rows=[
        Row(
            "",
            [
                *source_health("taskboard", "the task board", title="Board", width=3),
                stat(
                    "Oldest open",
                    "Age of the oldest open task (created_at); colored at the alert threshold.",
                    PrometheusTarget(selector(board.OLDEST, column=is_not("done")).age().max()),
                    unit="s",
                    width=3,
                    limits=_STUCK,
                    links=[_TASKS, _STORIES],
                ),
                *source_health("costs", "the cost ledger", title="Ledger", width=3),
                *costs.head(),
            ],
        ),
        Row("Board", [*_counts(), *_cards()]),
        Row(
            "Flow",
            [
                graph(
                    "Queue and cycle time",
                    "Time from creation to assignment and to completion: median of the tasks now on the board, p95 of the "
                    "tasks that moved within a day.",
                    PrometheusTarget(selector(board.MEDIAN_QUEUE).max() / _HOUR, "queue, median"),
                    PrometheusTarget(selector(board.MEDIAN_CYCLE).max() / _HOUR, "cycle, median"),
                    PrometheusTarget(_p95(board.QUEUE) / _HOUR, "queue, p95"),
                    PrometheusTarget(_p95(board.CYCLE) / _HOUR, "cycle, p95"),
                    unit="count:h",
                    width=8,
                    links=[_TASKS, _STORIES],
                ),
                graph(
                    "Oldest task",
                    "Age of the oldest open task by column; the line is the alert threshold.",
                    PrometheusTarget(
                        selector(board.OLDEST, column=is_not("done")).age().max("column") / thresholds.DAY, "{{column}}"
                    ),
                    unit="count:d",
                    width=8,
                    limits=[Threshold(limit.value / thresholds.DAY, limit.color) for limit in _STUCK],
                    links=[_TASKS, _STORIES],
                ),
                graph(
                    "Changes",
                    "Task changes by kind, and status changes that the board's rules do not allow, per step of the graph "
                    "(fleet_board_changes_total, fleet_board_illegal_moves_total).",
                    PrometheusTarget(selector(board.MOVES).increase(STEP).sum("kind"), "{{kind}}"),
                    PrometheusTarget(selector(board.ILLEGAL).increase(STEP).sum(), "illegal"),
                    unit="locale",
                    bars=True,
                    stacked=True,
                    width=8,
                    columns=[FieldOverride("illegal", color=BAD)],
                    links=[_TASKS, _STORIES],
                ),
                graph(
                    "Unparsed files and values",
                    "Files that are not tasks by reason, skipped files, status mismatches, duplicate ids, misordered times, "
                    "task files outside the columns; and values of board, ledger and broker that cannot be parsed, by field "
                    "(fleet_exporter_unreadable_values).",
                    PrometheusTarget(selector(board.UNREADABLE).sum("reason"), "{{reason}}"),
                    PrometheusTarget(selector(board.SKIPPED).sum(), "skipped"),
                    PrometheusTarget(selector(board.STATUS_MISMATCH).sum(), "status mismatch"),
                    PrometheusTarget(selector(board.DUPLICATES).sum(), "duplicate id"),
                    PrometheusTarget(selector(board.MISORDERED).sum(), "misordered times"),
                    PrometheusTarget(selector(board.SIDE).sum("folder"), "in {{folder}}"),
                    PrometheusTarget(selector(UNREADABLE_VALUES).sum("source", "field"), "{{source}} {{field}}"),
                    unit="locale",
                    decimals=0,
                    width=16,
                ),
                stat(
                    "Open work",
                    "Estimated hours of the open tasks (estimated_hours), the ones without an estimate, and the age of "
                    "the last scan.",
                    PrometheusTarget(selector(board.ESTIMATED).sum() / _HOUR, "estimated"),
                    PrometheusTarget(selector(board.UNESTIMATED).sum(), "tasks without estimate"),
                    PrometheusTarget(selector(board.LAST_SCAN).age().max(), "last scan"),
                    unit="s",
                    names=True,
                    width=8,
                    height=8,
                    columns=[
                        FieldOverride("estimated", unit="count:h", decimals=1),
                        FieldOverride("tasks without estimate", unit="none", decimals=0),
                    ],
                    links=[_TASKS, _STORIES],
                ),
            ],
        ),
        costs.COSTS,
    ],
)
