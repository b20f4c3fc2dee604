"""The task board and the ledger of costs."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import BUDGET_NEARLY_SPENT, BUDGET_SPENT, TASK_STUCK_SECONDS
from alerts.view import View
from exporter.metrics.promql import is_not, series
from exporter.sources.costs import samples as ledger
from exporter.sources.taskboard import samples as board

_SPENT = series(ledger.BUDGET_SPENT)
_BUDGET = "{{ $value | humanizePercentage }} of the budget of the {{ $labels.period }} is spent."

RULES: Final[tuple[Rule, ...]] = (
    sources.down(
        "BoardUnreadable", "taskboard", Component.BOARD, "The task board cannot be read", View.BOARD,
        severity=Severity.WARNING,
    ),
    Rule(
        name="TaskFilesUnreadable",
        query=series(board.UNREADABLE).max_over("5m") > 0,
        severity=Severity.WARNING,
        component=Component.BOARD,
        summary="Files of the task board are no tasks",
        description=f"Task files that are no tasks ({{{{ $labels.reason }}}}): {COUNT}. The API's /api/tasks lists them.",
        view=View.BOARD,
        lasting="5m",
    ),
    Rule(
        name="TaskStuck",
        query=series(board.OLDEST, column=is_not("done")).age() > TASK_STUCK_SECONDS,
        severity=Severity.INFO,
        component=Component.BOARD,
        summary="A task was created a week ago and is not done",
        description="The oldest task in {{ $labels.column }} was created {{ $value | humanizeDuration }} ago.",
        view=View.BOARD,
        limits=("TASK_STUCK_SECONDS",),
    ),
    sources.down(
        "CostsUnreadable", "costs", Component.COSTS, "The ledger of costs cannot be read", View.BOARD,
        severity=Severity.WARNING,
    ),
    Rule(
        name="BudgetNearlySpent",
        query=(_SPENT >= BUDGET_NEARLY_SPENT) < BUDGET_SPENT,
        severity=Severity.WARNING,
        component=Component.COSTS,
        summary="A budget is nearly spent",
        description=_BUDGET,
        view=View.BOARD,
        limits=("BUDGET_NEARLY_SPENT", "BUDGET_SPENT"),
    ),
    Rule(
        name="BudgetSpent",
        query=_SPENT >= BUDGET_SPENT,
        severity=Severity.CRITICAL,
        component=Component.COSTS,
        summary="A budget is spent",
        description=_BUDGET,
        view=View.BOARD,
        limits=("BUDGET_SPENT",),
    ),
)  # fmt: skip
