"""Row about error budgets: burn rates and alert thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.rule import Severity
from alerts.rules.budgets import PAIRS
from alerts.shares import responses
from dashboards.grafana.fields import BAD, WARN, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph
from dashboards.grafana.queries import PrometheusTarget, selector
from exporter.metrics.promql import Query, Series
from exporter.sources.vllm import mappings as vllm


def failing(window: str, *by: str, select: Callable[..., Series] = selector) -> Query:
    """Share of responses that failed; no data without responses."""
    failed, ended = (one.increase(window).sum(*by) for one in responses(select))
    # A fleet without failures has no failure series: 0, not "no data".
    return (failed | ended * 0).share_of(ended)


def _slow(window: str) -> Query:
    """Share of requests that took longer than the target."""
    duration = selector(vllm.DURATION.metric)
    everything = duration.part("_count").increase(window).sum()
    quick = duration.bucket(thresholds.LATENCY_SECONDS).increase(window).sum()
    return (everything - quick).clamp_min(0).share_of(everything)


def _burning(share: Callable[[str], Query], target: float) -> list[PrometheusTarget]:
    return [PrometheusTarget(share(pair.long) / round(1 - target, 6), pair.long) for pair in PAIRS]


_FACTORS = [Threshold(pair.factor, BAD if pair.severity is Severity.CRITICAL else WARN) for pair in PAIRS]

FAILING: Final = failing("1h")
"""Share of responses in the last hour that failed."""
FAILING_MEANING: Final = (
    "Share of completed and failed agent responses in the last hour that failed (fleet_agent_responses_total); no data "
    "without responses. Colored if the error budget burns faster than the target allows."
)
FAILING_LIMITS: Final = [
    Threshold(round(limit.value * (1 - thresholds.TASK_SUCCESS_TARGET), 6), limit.color) for limit in _FACTORS
]
"""Colored if the budget burns faster than the target allows."""

ROW: Final = Row(
    "Error budgets",
    [
        graph(
            "Agent responses: burn rate",
            "Burn rate of failed responses over several windows (fleet_agent_responses_total). At 1 the budget lasts "
            "exactly for its period. Lines: thresholds of FleetSuccessBudgetBurning.",
            *_burning(failing, thresholds.TASK_SUCCESS_TARGET),
            unit="none",
            limits=_FACTORS,
            links=[Link("Agents", DashboardUid.AGENTS)],
            width=12,
        ),
        graph(
            "vLLM latency: burn rate",
            "Burn rate of slow requests over several windows (vllm_request_duration_seconds). Lines: thresholds of "
            "VllmLatencyBudgetBurning.",
            *_burning(_slow, thresholds.LATENCY_TARGET),
            unit="none",
            limits=_FACTORS,
            links=[Link("vLLM", DashboardUid.VLLM)],
            width=12,
        ),
    ],
)
