"""A cost ledger as samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels
from exporter.source import UNREADABLE_VALUES
from exporter.sources.costs.ledger import LATENCIES, TABLE, CostsSnapshot

SOURCE: Final = "costs"
_WHO: Final = ("model", "tool", "agent", "status")
INVOCATIONS = counter("fleet_cost_invocations_total", "Invocations added since the start (invocations).", *_WHO)
PROMPT_TOKENS = counter(
    "fleet_cost_prompt_tokens_total", "Prompt tokens added since the start (invocations.prompt_tokens).", *_WHO
)
COMPLETION_TOKENS = counter(
    "fleet_cost_completion_tokens_total", "Completion tokens added since the start (invocations.completion_tokens).", *_WHO
)
COST = counter(
    "fleet_cost_usd_total", "Cost in US dollars added since the start, without refunds (invocations.cost_usd).", *_WHO
)
LATENCY = histogram(
    "fleet_cost_latency_seconds", "Duration of the invocations added since the start (invocations.latency_ms).", "model",
    unit=Unit.SECONDS, bounds=LATENCIES,
)  # fmt: skip
SPENT = gauge(
    "fleet_cost_spent_usd",
    "Cost in US dollars of the invocations in the ledger: today, this month (UTC), and in total.",
    "period",
)
BUDGET = gauge("fleet_cost_budget_usd", "Budget in US dollars, if one is set (options).", "period")
BUDGET_SPENT = gauge("fleet_cost_budget_spent_ratio", "Spent share of the budget.", "period", unit=Unit.RATIO)
LAST = gauge(
    "fleet_cost_last_invocation_timestamp_seconds", "Time of the latest invocation (invocations.timestamp).",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
RECENT = gauge("fleet_cost_recent_invocations", "Invocations of the last five minutes (invocations.timestamp).")
METRICS: Final[tuple[Metric, ...]] = (
    INVOCATIONS, PROMPT_TOKENS, COMPLETION_TOKENS, COST, LATENCY, SPENT, BUDGET, BUDGET_SPENT, LAST, RECENT,
    UNREADABLE_VALUES,
)  # fmt: skip
_FIELDS: Final = ("timestamp", "prompt_tokens", "completion_tokens", "cost_usd", "latency_ms")


def samples(snapshot: CostsSnapshot, budgets: Mapping[str, float]) -> Iterable[Sample]:
    """Everything; an empty ledger is 0. `budgets`: US dollars by period."""
    for key, sums in snapshot.by.items():
        who = labels(**dict(zip(_WHO, key, strict=True)))
        yield INVOCATIONS.at(who, sums.invocations)
        yield PROMPT_TOKENS.at(who, sums.prompt_tokens)
        yield COMPLETION_TOKENS.at(who, sums.completion_tokens)
        yield COST.at(who, sums.cost)
    for model, latencies in snapshot.latencies.items():
        yield latencies.sample(LATENCY, labels(model=model))
    for period, dollars in snapshot.spent().items():
        yield SPENT(dollars, period=period)
        if budget := budgets.get(period):
            yield BUDGET(budget, period=period)
            yield BUDGET_SPENT(dollars / budget, period=period)
    if snapshot.latest is not None:
        yield LAST(snapshot.latest)
    yield RECENT(snapshot.recent)
    for column in _FIELDS:
        yield UNREADABLE_VALUES(snapshot.unreadable.get(column, 0), source=SOURCE, field=f"{TABLE}.{column}")
