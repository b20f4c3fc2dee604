"""The row about error budgets: how fast they are being spent, and from where an alert is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from alerts import thresholds
from alerts.rule import Severity
from alerts.rules.budgets import PAIRS
from alerts.view import View
from dashboards.grafana.fields import BAD, WARN, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph
from dashboards.grafana.queries import Line, shown
from exporter.metrics.promql import Query, like
from exporter.sources.fleet import samples as fleet
from exporter.sources.vllm import concepts as vllm


def _failing(window: str) -> Query:
    """The share of answers that failed; what ends in approval, rejection or a question to a person is neither."""
    ended = shown(fleet.RESPONSES, outcome=like("completed|failed")).increase(window).sum()
    # A fleet in which nothing ever failed has no series of failures: that is 0, and not no data.
    failed = shown(fleet.RESPONSES, outcome="failed").increase(window).sum() | ended * 0
    return failed.share_of(ended)


def _slow(window: str) -> Query:
    """The share of requests that took longer than the target."""
    duration = shown(vllm.DURATION.metric)
    everything = duration.part("_count").increase(window).sum()
    quick = duration.bucket(thresholds.LATENCY_SECONDS).increase(window).sum()
    return (everything - quick).clamp_min(0).share_of(everything)


def _burning(share: Callable[[str], Query], target: float) -> list[Line]:
    return [Line(share(pair.long) / round(1 - target, 6), pair.long) for pair in PAIRS]


_FACTORS = [Limit(pair.factor, BAD if pair.severity is Severity.CRITICAL else WARN) for pair in PAIRS]

FAILING: Final = _failing("1h")
"""The share of the last hour's answers that failed."""
FAILING_LIMITS: Final = [
    Limit(round(limit.value * (1 - thresholds.TASK_SUCCESS_TARGET), 6), limit.colour) for limit in _FACTORS
]
"""From where such a share spends the budget faster than the target allows."""

ROW: Final = Row(
    "Error budgets",
    [
        graph(
            "Agents' answers: burn rate",
            "How much faster than the target allows answers fail, over windows of different length "
            "(fleet_agent_responses_total); at 1 the budget lasts as long as it should, and the lines are where the "
            "alert FleetSuccessBudgetBurning looks.",
            *_burning(_failing, thresholds.TASK_SUCCESS_TARGET),
            unit="none",
            limits=_FACTORS,
            links=[Link("Agents", View.AGENTS)],
            width=12,
        ),
        graph(
            "vLLM's latency: burn rate",
            "How much faster than the target allows requests take too long (vllm_request_duration_seconds); the "
            "lines are where the alert VllmLatencyBudgetBurning looks.",
            *_burning(_slow, thresholds.LATENCY_TARGET),
            unit="none",
            limits=_FACTORS,
            links=[Link("vLLM", View.VLLM)],
            width=12,
        ),
    ],
)
