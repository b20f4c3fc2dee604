"""The task board and the cost ledger."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, Severity
from alerts.rules import sources
from alerts.thresholds import BUDGET_NEARLY_SPENT, BUDGET_SPENT, TASK_STUCK_SECONDS
from exporter.metrics.promql import is_not, series
from exporter.sources.costs import samples as ledger
from exporter.sources.taskboard import samples as board

_SPENT = series(ledger.BUDGET_SPENT)
_BUDGET = "{{ $value | humanizePercentage }} of the budget for the {{ $labels.period }} is spent."

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "BoardUnreadable", "taskboard", Component.BOARD, "Task board cannot be read", DashboardUid.BOARD,
        severity=Severity.WARNING,
        catches="A volume of the task board that was not mounted after a restart.",
    ),
    AlertingRule(
        name="TaskFilesUnreadable",
        query=series(board.UNREADABLE).max_over("5m") > 0,
        severity=Severity.WARNING,
        component=Component.BOARD,
        summary="Task board has unparseable files",
        catches="A task file with a YAML error, which no agent will ever pick up.",
        description=f"{COUNT} files on the board are not tasks ({{{{ $labels.reason }}}}); /api/tasks lists them.",
        view=DashboardUid.BOARD,
        for_="5m",
    ),
    AlertingRule(
        name="TaskStuck",
        query=series(board.OLDEST, column=is_not("done")).age() > TASK_STUCK_SECONDS,
        severity=Severity.INFO,
        component=Component.BOARD,
        summary="Task has been open for more than a week",
        catches="A task that was assigned to an agent that no longer exists.",
        description="The oldest {{ $labels.column }} task was created {{ $value | humanizeDuration }} ago and is still "
        "open.",
        view=DashboardUid.BOARD,
        limits=("TASK_STUCK_SECONDS",),
    ),
    sources.down(
        "CostsUnreadable", "costs", Component.COSTS, "Cost ledger cannot be read", DashboardUid.BOARD,
        severity=Severity.WARNING,
        catches="A ledger that was moved or replaced; budgets look unspent.",
    ),
    AlertingRule(
        name="BudgetNearlySpent",
        query=(_SPENT >= BUDGET_NEARLY_SPENT) < BUDGET_SPENT,
        severity=Severity.WARNING,
        component=Component.COSTS,
        summary="Budget is nearly spent",
        catches="A runaway story, while there is still budget to stop it.",
        description=_BUDGET,
        view=DashboardUid.BOARD,
        limits=("BUDGET_NEARLY_SPENT", "BUDGET_SPENT"),
    ),
    AlertingRule(
        name="BudgetSpent",
        query=_SPENT >= BUDGET_SPENT,
        severity=Severity.CRITICAL,
        component=Component.COSTS,
        summary="Budget is exhausted",
        catches="Agents that keep spending after the budget is used up.",
        description=_BUDGET,
        view=DashboardUid.BOARD,
        limits=("BUDGET_SPENT",),
    ),
)  # fmt: skip
