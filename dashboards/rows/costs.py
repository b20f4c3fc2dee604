"""Rows about the cost ledger: cost of invocations by model and agent, and the budgets."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Panel, bars, graph, stat, table
from dashboards.grafana.queries import RANGE, RATE, PrometheusTarget, raw, selector, variable
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series, is_not
from exporter.sources.costs import samples as ledger

_KEY = ("agent", "model")
BUDGET_LIMITS: Final = (Threshold(thresholds.BUDGET_NEARLY_SPENT, WARN), Threshold(thresholds.BUDGET_SPENT, BAD))
_AGENT = Link("Agents", DashboardUid.AGENTS)
_LEDGER = ApiLink("Ledger", path="/api/costs")
_MODEL = Link("vLLM", DashboardUid.VLLM)

VARIABLES: Final = (
    variables.of("model", "model", "Model", "Models in the ledger.", selector(ledger.INVOCATIONS)),
    variables.of("agent", "agent", "Agent", "Agents in the ledger.", selector(ledger.INVOCATIONS)),
)


def _of(metric: Metric) -> Series:
    agent = {"agent": variable("agent")} if "agent" in metric.labels else {}
    return selector(metric, model=variable("model"), **agent)


_cost, _calls = _of(ledger.COST), _of(ledger.INVOCATIONS)
_all_calls = _calls.increase(RANGE).sum(*_KEY)
_unsuccessful = selector(ledger.INVOCATIONS, model=variable("model"), agent=variable("agent"), status=is_not("success"))
_failed = _unsuccessful.increase(RANGE).sum(*_KEY) | _all_calls * 0


def head() -> list[Panel]:
    """Cost and budget for the first row of a dashboard, 9 columns wide."""
    return [
        stat(
            "Spent",
            "Cost in US dollars today, this month (UTC), and of all invocations in the ledger (fleet_cost_spent_usd).",
            *(
                PrometheusTarget(selector(ledger.SPENT, period=period).max(), title)
                for period, title in (("day", "today"), ("month", "this month"), ("all", "total"))
            ),
            unit="currencyUSD",
            width=6,
            names=True,
            decimals=2,
            links=[_LEDGER, Link("Agents", DashboardUid.AGENTS)],
        ),
        stat(
            "Budget",
            "Spent share of the budget, the higher of day and month; no data if none is set.",
            PrometheusTarget(selector(ledger.BUDGET_SPENT).max()),
            unit="percentunit",
            width=3,
            limits=BUDGET_LIMITS,
            links=[Link("Alerts", DashboardUid.OVERVIEW)],
        ),
    ]


def _by_day() -> Panel:
    # A bar is drawn at the start of its day (UTC), so its window ends a day later; today's has no end yet.
    made = graph(
        "Cost per day, 30 days",
        "US dollars by day (UTC) and model, independent of the time range (fleet_cost_usd_total). Days with missing scrapes "
        "are too low; /api/costs has the exact sums of the ledger.",
        PrometheusTarget(raw(f"sum by (model) (increase({_cost.text}[1d] offset -1d))", "model"), "{{model}}"),
        unit="currencyUSD",
        stacked=True,
        bars=True,
        step="1d",
        links=[_MODEL],
        width=12,
    )
    made.timeFrom = "30d"
    return made


COSTS: Final = Row(
    "Costs",
    [
        _by_day(),
        bars(
            "Budgets",
            "Spent share of each budget, today and this month (fleet_cost_budget_spent_ratio); colored at the alert "
            "thresholds.",
            PrometheusTarget(selector(ledger.BUDGET_SPENT).max("period"), "{{period}} spent"),
            unit="percentunit",
            limits=BUDGET_LIMITS,
            maximum=1,
            width=6,
        ),
        stat(
            "Budget and use",
            "Budgets in US dollars (options), invocations of the last five minutes, and time since the last one.",
            PrometheusTarget(selector(ledger.BUDGET).max("period"), "budget per {{period}}"),
            PrometheusTarget(selector(ledger.RECENT).sum(), "invocations in 5 min"),
            PrometheusTarget(selector(ledger.LAST).age().min(), "last invocation"),
            names=True,
            width=6,
            height=8,
            columns=[
                FieldOverride("budget per day", unit="currencyUSD"),
                FieldOverride("budget per month", unit="currencyUSD"),
                FieldOverride("last invocation", unit="s"),
            ],
            links=[_LEDGER, Link("Agents", DashboardUid.AGENTS)],
        ),
        graph(
            "Cost per hour",
            "US dollars per hour at the current rate, by model (fleet_cost_usd_total).",
            PrometheusTarget((_cost.rate(RATE) * 3600).sum("model"), "{{model}}"),
            unit="currencyUSD",
            links=[_MODEL],
        ),
        graph(
            "Tokens",
            "Prompt and completion tokens per second by model (fleet_cost_prompt_tokens_total, "
            "fleet_cost_completion_tokens_total).",
            PrometheusTarget(_of(ledger.PROMPT_TOKENS).rate(RATE).sum("model"), "{{model}} prompt"),
            PrometheusTarget(_of(ledger.COMPLETION_TOKENS).rate(RATE).sum("model"), "{{model}} completion"),
            unit="count:tok/s",
            links=[_MODEL],
        ),
        graph(
            "Invocation duration",
            "Duration of invocations by model, p50 and p95 (fleet_cost_latency_seconds).",
            PrometheusTarget(_of(ledger.LATENCY).quantile(0.5, "model", window=RATE), "{{model}} p50"),
            PrometheusTarget(_of(ledger.LATENCY).quantile(0.95, "model", window=RATE), "{{model}} p95"),
            unit="s",
            links=[_MODEL],
        ),
        table(
            "By agent and model",
            "Cost of each agent in the selected time range, by model (fleet_cost_usd_total and related counters).",
            _KEY,
            [
                (FieldOverride("cost", unit="currencyUSD", decimals=4), PrometheusTarget(_cost.increase(RANGE).sum(*_KEY))),
                (FieldOverride("invocations", decimals=0), PrometheusTarget(_all_calls)),
                (
                    FieldOverride("per invocation", unit="currencyUSD", decimals=5),
                    PrometheusTarget(_cost.increase(RANGE).sum(*_KEY).share_of(_all_calls)),
                ),
                (
                    FieldOverride("failed", unit="percentunit", limits=[Threshold(thresholds.RESPONSE_FAILURE_RATIO, BAD)]),
                    PrometheusTarget(_failed.share_of(_all_calls)),
                ),
                (
                    FieldOverride("prompt tokens", decimals=0),
                    PrometheusTarget(_of(ledger.PROMPT_TOKENS).increase(RANGE).sum(*_KEY)),
                ),
                (
                    FieldOverride("completion tokens", decimals=0),
                    PrometheusTarget(_of(ledger.COMPLETION_TOKENS).increase(RANGE).sum(*_KEY)),
                ),
            ],
            key_columns=[FieldOverride("agent", links=[_AGENT]), FieldOverride("model", links=[_MODEL])],
            sort="cost",
            width=24,
            height=9,
            rows=10,
        ),
    ],
)
