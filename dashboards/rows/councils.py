"""Rows about what councils do: how long they deliberate and how that ends, and how well and how fast agents answer."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.view import View
from dashboards.grafana.fields import ACCENT, BAD, OK, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, heatmap
from dashboards.grafana.queries import RATE, Line, chosen, shown
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Query, Series
from exporter.sources.fleet import samples as fleet

EVENTS_OF_ROLE: Final = Link("Its events", View.EVENTS, {"role": "role"})
SLOW: Final = [Limit(thresholds.DELIBERATION_SECONDS, WARN)]
_ENDINGS: Final = [
    Column("completed", colour=OK), Column("failed", colour=BAD), Column("timeout", colour=WARN),
]  # fmt: skip


def of_roles(metric: Metric, **matchers: str | Matcher) -> Series:
    """Of the roles chosen."""
    return shown(metric, role=chosen("role"), **matchers)


def success(window: str, *by: str) -> Query:
    """Share of the answers that did not fail; nothing where there were none."""
    answers = of_roles(fleet.RESPONSES).rate(window).sum(*by)
    failed = of_roles(fleet.RESPONSES, outcome="failed").rate(window).sum(*by) | answers * 0
    return (answers - failed).share_of(answers)


def mean(metric: Metric, window: str, *by: str) -> Query:
    total, count = (of_roles(metric).part(part).rate(window).sum(*by) for part in ("_sum", "_count"))
    return total.share_of(count)


def _quantiles(metric: Metric, *by: str) -> list[Line]:
    """Median and 95th percentile; each point of the latter leads to a task by its exemplar."""
    name = " ".join(f"{{{{{label}}}}}" for label in by)
    return [
        Line(of_roles(metric).quantile(0.95, *by, window=RATE), f"{name} p95", exemplar=True),
        Line(of_roles(metric).quantile(0.5, *by, window=RATE), f"{name} p50"),
    ]


DELIBERATIONS: Final = Row(
    "Deliberations",
    [
        graph(
            "Under way",
            "Deliberations under way by role (fleet_open_deliberations).",
            Line(of_roles(fleet.OPEN_DELIBERATIONS).sum("role"), "{{role}}"),
            width=8, unit="short", decimals=0, links=[EVENTS_OF_ROLE],
        ),
        graph(
            "Ended",
            "Deliberations that ended in each step, by how (fleet_deliberations_total); unknown ended without "
            "anyone having said how many agents were asked.",
            Line(of_roles(fleet.DELIBERATIONS).increase(RATE).sum("outcome"), "{{outcome}}"),
            width=8, unit="short", stacked=True, bars=True, columns=_ENDINGS, calcs=["sum"],
        ),
        graph(
            "Agents asked",
            "Agents asked in deliberations a second, and those that answered or failed "
            "(fleet_deliberation_agents_total): what is asked and neither is still awaited, or lost.",
            Line(of_roles(fleet.DELIBERATION_AGENTS).rate(RATE).sum("answer"), "{{answer}}"),
            width=8, unit="ops",
            columns=[Column("asked", colour=ACCENT), Column("answered", colour=OK), Column("failed", colour=BAD)],
        ),
        graph(
            "Time of a deliberation",
            "From its start to its end, by role (fleet_deliberation_duration_seconds), and from where on an "
            "alert says that one is slow.",
            *_quantiles(fleet.DELIBERATION_SECONDS, "role"),
            unit="s", limits=SLOW, links=[EVENTS_OF_ROLE], width=12,
        ),
        heatmap(
            "Deliberations by time",
            "How many deliberations a second took how long (fleet_deliberation_duration_seconds).",
            Line(of_roles(fleet.DELIBERATION_SECONDS).bucket_rate(RATE).sum("le"), "{{le}}"),
            unit="s", width=12,
        ),
    ],
)  # fmt: skip

ANSWERS: Final = Row(
    "Answers",
    [
        graph(
            "Answers",
            "Answers a second by outcome (fleet_agent_responses_total).",
            Line(of_roles(fleet.RESPONSES).rate(RATE).sum("outcome"), "{{outcome}}"),
            unit="ops", stacked=True, columns=_ENDINGS,
        ),
        graph(
            "Answers that succeed",
            "Share of each role's answers that did not fail (fleet_agent_responses_total); an alert fires where "
            "most fail.",
            Line(success(RATE, "role"), "{{role}}"),
            unit="percentunit", maximum=1, below=True, links=[EVENTS_OF_ROLE],
            limits=[Limit(1 - thresholds.RESPONSE_FAILURE_RATIO, BAD)], calcs=["lastNotNull", "min"],
        ),
        graph(
            "Time of an answer by role",
            "Time an agent took, by its own account (fleet_agent_response_duration_seconds); dots are tasks.",
            *_quantiles(fleet.RESPONSE_SECONDS, "role"),
            unit="s", links=[EVENTS_OF_ROLE],
        ),
        graph(
            "Time of an answer by model",
            "The same by model (fleet_agent_response_duration_seconds); dots are tasks.",
            *_quantiles(fleet.RESPONSE_SECONDS, "model"),
            unit="s", links=[Link("The servers that run it", View.VLLM, {"model": "model"})],
        ),
        graph(
            "Tokens of an answer",
            "Mean and 95th percentile of the tokens of an answer, prompt included (fleet_agent_response_tokens).",
            Line(mean(fleet.RESPONSE_TOKENS, RATE, "role"), "{{role}} mean"),
            Line(of_roles(fleet.RESPONSE_TOKENS).quantile(0.95, "role", window=RATE), "{{role}} p95"),
            unit="short", decimals=0,
        ),
        graph(
            "Tokens",
            "Tokens a second by role (fleet_agent_response_tokens_sum).",
            Line(of_roles(fleet.RESPONSE_TOKENS).part("_sum").rate(RATE).sum("role"), "{{role}}"),
            unit="short", stacked=True,
        ),
    ],
)  # fmt: skip
