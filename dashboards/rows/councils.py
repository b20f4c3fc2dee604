"""Rows about councils: duration and outcome of deliberations; outcome, duration and tokens of responses."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import ACCENT, BAD, OK, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import bars, graph, heatmap
from dashboards.grafana.queries import RANGE, RATE, STEP, PrometheusTarget, selector, variable
from dashboards.rows.error_budgets import failing
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Query, Series
from exporter.sources.fleet import samples as fleet

EVENTS_OF_ROLE: Final = Link("Events", DashboardUid.EVENTS, {"role": "role"})
_NEARLY_TIMED_OUT = 4 * 60
"""Seconds; the orchestrator, and by default the exporter, time a deliberation out after 5 minutes."""
SLOW: Final = [Threshold(_NEARLY_TIMED_OUT, WARN)]
_ENDINGS: Final = [
    FieldOverride("completed", color=OK),
    FieldOverride("failed", color=BAD),
    FieldOverride("timeout", color=WARN),
]


def of_roles(metric: Metric, **matchers: str | Matcher) -> Series:
    """Series of the selected roles."""
    return selector(metric, role=variable("role"), **matchers)


def failures(window: str, *by: str) -> Query:
    """Share of responses that failed; no data without responses."""
    return failing(window, *by, select=of_roles)


def mean(metric: Metric, window: str, *by: str) -> Query:
    total, count = (of_roles(metric).part(part).rate(window).sum(*by) for part in ("_sum", "_count"))
    return total.share_of(count)


def _quantiles(metric: Metric, *by: str) -> list[PrometheusTarget]:
    """p50 and p95; exemplars of p95 link to tasks."""
    name = " ".join(f"{{{{{label}}}}}" for label in by)
    return [
        PrometheusTarget(of_roles(metric).quantile(0.95, *by, window=RATE), f"{name} p95", exemplar=True),
        PrometheusTarget(of_roles(metric).quantile(0.5, *by, window=RATE), f"{name} p50"),
    ]


DELIBERATIONS: Final = Row(
    "Deliberations",
    [
        graph(
            "In progress",
            "Deliberations by role from their first response on (fleet_deliberations_in_progress), and the mean number of "
            "busy agents from the durations that they report (fleet_agent_response_duration_seconds_sum).",
            PrometheusTarget(of_roles(fleet.IN_PROGRESS).sum("role"), "{{role}}"),
            PrometheusTarget(of_roles(fleet.RESPONSE_SECONDS).part("_sum").rate(RATE).sum(), "busy agents"),
            width=7,
            unit="locale",
            decimals=0,
            links=[EVENTS_OF_ROLE],
        ),
        bars(
            "Finished, total",
            "Deliberations that finished in the time range, by outcome (fleet_deliberations_total); unknown: the number of "
            "agents was not published. No data if none is known.",
            PrometheusTarget(of_roles(fleet.DELIBERATIONS).increase(RANGE).sum("outcome"), "{{outcome}}"),
            unit="locale",
            decimals=0,
            width=4,
            links=[EVENTS_OF_ROLE],
        ),
        graph(
            "Finished",
            "Finished deliberations per graph step by outcome (fleet_deliberations_total).",
            PrometheusTarget(of_roles(fleet.DELIBERATIONS).increase(STEP).sum("outcome"), "{{outcome}}"),
            width=7,
            unit="locale",
            stacked=True,
            bars=True,
            columns=_ENDINGS,
        ),
        graph(
            "Agents per outcome",
            "Agents that received a task, responded and failed, per second (fleet_deliberation_agents_total). The "
            "difference has not responded yet, or its response is lost.",
            PrometheusTarget(of_roles(fleet.DELIBERATION_AGENTS).rate(RATE).sum("response"), "{{response}}"),
            width=6,
            unit="eps",
            columns=[
                FieldOverride("requested", color=ACCENT),
                FieldOverride("received", color=OK),
                FieldOverride("failed", color=BAD),
            ],
        ),
        graph(
            "Deliberation duration",
            "Time from start to end by role, p50 and p95 (fleet_deliberation_duration_seconds); line: alert threshold.",
            *_quantiles(fleet.DELIBERATION_SECONDS, "role"),
            unit="s",
            limits=SLOW,
            links=[EVENTS_OF_ROLE],
            width=12,
        ),
        heatmap(
            "Deliberations by duration",
            "Deliberations per second by duration; darker cells have more (fleet_deliberation_duration_seconds).",
            PrometheusTarget(of_roles(fleet.DELIBERATION_SECONDS).bucket_rate(RATE).sum("le"), "{{le}}"),
            unit="s",
            width=12,
        ),
    ],
)

RESPONSES: Final = Row(
    "Responses",
    [
        graph(
            "Responses",
            "Responses per second by outcome (fleet_agent_responses_total).",
            PrometheusTarget(of_roles(fleet.RESPONSES).rate(RATE).sum("outcome"), "{{outcome}}"),
            width=8,
            unit="eps",
            stacked=True,
            columns=_ENDINGS,
        ),
        graph(
            "Failed responses",
            "Share of completed and failed responses that failed, over 15 minutes, by role (fleet_agent_responses_total); "
            "line: alert threshold.",
            PrometheusTarget(failures("15m", "role"), "{{role}}"),
            width=8,
            unit="percentunit",
            maximum=1,
            links=[EVENTS_OF_ROLE],
            limits=[Threshold(thresholds.RESPONSE_FAILURE_RATIO, BAD)],
        ),
        graph(
            "Response duration by role",
            "Duration reported by the agent, p50 and p95 (fleet_agent_response_duration_seconds); dots are tasks.",
            *_quantiles(fleet.RESPONSE_SECONDS, "role"),
            width=8,
            unit="s",
            links=[EVENTS_OF_ROLE],
        ),
        graph(
            "Response duration by model",
            "Duration reported by the agent, p50 and p95 (fleet_agent_response_duration_seconds); dots are tasks.",
            *_quantiles(fleet.RESPONSE_SECONDS, "model"),
            width=8,
            unit="s",
            links=[Link("Servers of this model", DashboardUid.VLLM, {"model": "model"})],
        ),
        graph(
            "Tokens per response",
            "Tokens per response including the prompt, mean and p95 (fleet_agent_response_tokens).",
            PrometheusTarget(mean(fleet.RESPONSE_TOKENS, RATE, "role"), "{{role}} mean"),
            PrometheusTarget(of_roles(fleet.RESPONSE_TOKENS).quantile(0.95, "role", window=RATE), "{{role}} p95"),
            width=8,
            unit="locale",
            decimals=0,
        ),
        graph(
            "Tokens",
            "Tokens per second by role (fleet_agent_response_tokens_sum).",
            PrometheusTarget(of_roles(fleet.RESPONSE_TOKENS).part("_sum").rate(RATE).sum("role"), "{{role}}"),
            width=8,
            unit="locale",
            stacked=True,
        ),
    ],
)
