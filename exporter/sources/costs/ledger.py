"""What a cost ledger adds up to, and the query that adds up a stretch of it. No I/O.

A stretch is added up by SQLite in one GROUP BY, so that a million rows come as a few hundred sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from exporter.clients.sqlite import up_to
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels

TABLE: Final = "invocations"
LATENCIES: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
OTHER: Final = "other"
_COMBINATIONS = 500
_DAYS = 400
_RECENT_MINUTES = 5
_WANTED = ("agent_name", "tool_name", "model_name", "status", "prompt_tokens", "completion_tokens", "cost_usd", "latency_ms")

_WHO: Final = ("model", "tool", "agent", "status")
INVOCATIONS = counter("fleet_cost_invocations_total", "Invocations in the ledger (invocations).", *_WHO)
PROMPT_TOKENS = counter("fleet_cost_prompt_tokens_total", "Tokens of prompts (invocations.prompt_tokens).", *_WHO)
COMPLETION_TOKENS = counter(
    "fleet_cost_completion_tokens_total", "Tokens of answers (invocations.completion_tokens).", *_WHO
)
COST = counter("fleet_cost_usd_total", "Cost in US dollars (invocations.cost_usd).", *_WHO)
LATENCY = histogram(
    "fleet_cost_latency_seconds", "Time of an invocation (invocations.latency_ms).", "model", unit=Unit.SECONDS
)
SPENT = gauge("fleet_cost_spent_usd", "Cost in US dollars today, this month (UTC) and in all.", "period")
BUDGET = gauge("fleet_cost_budget_usd", "Budget in US dollars, where one is set (options).", "period")
BUDGET_SPENT = gauge("fleet_cost_budget_spent_ratio", "Share of the budget that is spent.", "period", unit=Unit.RATIO)
LAST = gauge("fleet_cost_last_invocation_timestamp_seconds", "When the last invocation was.", unit=Unit.TIMESTAMP)
RECENT = gauge("fleet_cost_recent_invocations", "Invocations of the last five minutes.")
METRICS: Final[tuple[Metric, ...]] = (
    INVOCATIONS, PROMPT_TOKENS, COMPLETION_TOKENS, COST, LATENCY, SPENT, BUDGET, BUDGET_SPENT, LAST, RECENT,
)  # fmt: skip


def query(columns: Collection[str]) -> str:
    """Adds up the rows with `? < id <= ?`: by day, minute if of late (`?` on), model, tool, agent and status.

    Columns that an older schema lacks are null. Times come in two shapes, both understood by SQLite's date functions.
    """
    named = {name: name if name in columns else "NULL" for name in _WANTED}
    latency = named["latency_ms"]
    buckets = up_to(latency, [bound * 1000 for bound in LATENCIES])
    return f"""
        SELECT date(timestamp), CASE WHEN julianday(timestamp) >= julianday(?) THEN strftime('%s', timestamp) / 60 END,
            {named["model_name"]}, {named["tool_name"]}, {named["agent_name"]}, {named["status"]}, COUNT(*),
            SUM({named["prompt_tokens"]}), SUM({named["completion_tokens"]}), SUM({named["cost_usd"]}),
            SUM({latency}), COUNT({latency}), MAX(julianday(timestamp)), {buckets}
        FROM {TABLE} WHERE id > ? AND id <= ? GROUP BY 1, 2, 3, 4, 5, 6"""  # noqa: S608 - names of columns, no values


@dataclass(slots=True)
class Sums:
    invocations: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def add(self, invocations: int, prompt: int, completion: int, cost: float) -> None:
        self.invocations += invocations
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.cost += cost


@dataclass(slots=True)
class Ledger:
    """All that has been read, up to row `last_id`."""

    last_id: int = 0
    by: dict[tuple[str, str, str, str], Sums] = field(default_factory=dict)
    days: dict[tuple[str, str], Sums] = field(default_factory=dict)
    latencies: dict[str, Histogram] = field(default_factory=dict)
    minutes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    cost: float = 0.0
    last: float | None = None

    def add(self, rows: Iterable[Sequence[Any]], last_id: int) -> None:
        """Take the sums of one stretch into account."""
        for row in rows:
            day, minute, *who = row[:6]
            invocations, prompt, completion, cost, latency, timed, last = (value or 0 for value in row[6:13])
            model, tool, agent, status = (_name(value) for value in who)
            key = (model, tool, agent, status)
            if key not in self.by and len(self.by) >= _COMBINATIONS:
                key = (OTHER, OTHER, OTHER, status if status in ("success", "error", "timeout") else OTHER)
            self.by.setdefault(key, Sums()).add(invocations, prompt, completion, cost)
            self.days.setdefault((day or "", key[0]), Sums()).add(invocations, prompt, completion, cost)
            self.cost += cost
            if minute is not None:
                self.minutes[int(minute)] += invocations
            if timed:
                found = self.latencies.setdefault(key[0], Histogram(LATENCIES))
                found.add_cumulative((*row[13:], timed), latency / 1000)
            if last:
                self.last = max(self.last or 0.0, (last - _JULIAN_1970) * 86400.0)
        self.last_id = last_id

    def forget(self, now: datetime) -> None:
        """Let go of days and minutes that nobody asks for any more."""
        oldest = (now - timedelta(days=_DAYS)).date().isoformat()
        for key in [key for key in self.days if key[0] < oldest]:
            del self.days[key]
        minute = int(now.timestamp()) // 60
        for one in [one for one in self.minutes if one <= minute - 2 * _RECENT_MINUTES]:
            del self.minutes[one]

    def spent(self, now: datetime) -> dict[str, float]:
        """US dollars by period: day, month, all."""
        today, month = now.date().isoformat(), now.strftime("%Y-%m")
        return {
            "day": sum(sums.cost for (day, _), sums in self.days.items() if day == today),
            "month": sum(sums.cost for (day, _), sums in self.days.items() if day.startswith(month)),
            "all": self.cost,
        }

    def samples(self, now: datetime, budgets: dict[str, float]) -> Iterable[Sample]:
        """Everything; an empty ledger is 0, not absent."""
        for key, sums in self.by.items():
            who = labels(**dict(zip(_WHO, key, strict=True)))
            yield INVOCATIONS.at(who, sums.invocations)
            yield PROMPT_TOKENS.at(who, sums.prompt_tokens)
            yield COMPLETION_TOKENS.at(who, sums.completion_tokens)
            yield COST.at(who, sums.cost)
        for model, found in self.latencies.items():
            yield found.sample(LATENCY, labels(model=model))
        for period, dollars in self.spent(now).items():
            yield SPENT(dollars, period=period)
            if budget := budgets.get(period):
                yield BUDGET(budget, period=period)
                yield BUDGET_SPENT(dollars / budget, period=period)
        if self.last is not None:
            yield LAST(self.last)
        minute = int(now.timestamp()) // 60
        yield RECENT(sum(number for one, number in self.minutes.items() if minute - _RECENT_MINUTES < one <= minute))

    def by_day(self, now: datetime, days: int) -> list[dict[str, Any]]:
        """One row for each day and model of the last days, the newest first."""
        oldest = (now - timedelta(days=days - 1)).date().isoformat()
        return [
            {
                "day": day,
                "model": model,
                "invocations": sums.invocations,
                "prompt_tokens": sums.prompt_tokens,
                "completion_tokens": sums.completion_tokens,
                "cost_usd": sums.cost,
            }
            for (day, model), sums in sorted(self.days.items(), reverse=True)
            if day >= oldest
        ]


_JULIAN_1970 = 2440587.5


def _name(value: Any) -> str:
    return value[:100] if isinstance(value, str) and value else "unknown"
