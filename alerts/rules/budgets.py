"""Error budgets: multi-window, multi-burn-rate alerts over four pairs of windows.

A pair fires if both windows burn the error budget more than `factor` times as fast as the target allows: the long window
shows that the failures are significant, the short one that they continue. A factor of 14.4 exhausts a budget of 30 days
in 2 days, a factor of 1 in 30 days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from alerts.dashboard_uid import DashboardUid
from alerts.rule import AlertingRule, Component, RecordingRule, Severity
from alerts.shares import responses
from alerts.thresholds import LATENCY_SECONDS, LATENCY_TARGET, LEAST_REQUESTS, LEAST_RESPONSES, TASK_SUCCESS_TARGET
from exporter.metrics.promql import Query, series
from exporter.sources.vllm import mappings as vllm

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Pair(NamedTuple):
    """A long and a short window, and the burn rate factor for both."""

    severity: Severity
    for_: str
    long: str
    short: str
    factor: float


PAIRS: Final = (
    Pair(Severity.CRITICAL, "2m", "1h", "5m", 14.4),
    Pair(Severity.CRITICAL, "15m", "6h", "30m", 6.0),
    Pair(Severity.WARNING, "1h", "1d", "2h", 3.0),
    Pair(Severity.WARNING, "3h", "3d", "6h", 1.0),
)


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """A service level indicator: at most 1 - `target` of all events may be bad.

    `windowed` has the increase of bad and of all events by window. Fewer than `least` events in the long window never fire.
    """

    name: str
    windowed: dict[str, tuple[Query, Query]]
    target: float
    least: int
    unit: str

    def burnrate(self, window: str) -> RecordingRule:
        bad, everything = self.windowed[window]
        return RecordingRule(
            name=f"fleet:{self.name}:burnrate{window}",
            query=bad.share_of(everything),
            meaning=f"Share of {self.unit} in {window} that missed the target.",
        )

    def volume(self, window: str) -> RecordingRule:
        return RecordingRule(
            name=f"fleet:{self.name}:volume{window}",
            query=self.windowed[window][1],
            meaning=f"Number of {self.unit} in {window}.",
        )

    @property
    def recordings(self) -> tuple[RecordingRule, ...]:
        return (
            *(self.burnrate(window) for window in WINDOWS),
            *(self.volume(pair.long) for pair in PAIRS),
        )

    def allowed(self, pair: Pair) -> float:
        """Share of bad events that both windows of a pair must exceed."""
        return round(pair.factor * (1 - self.target), 6)

    def query(self, pair: Pair) -> Query:
        allowed = self.allowed(pair)
        long, short = self.burnrate(pair.long).series, self.burnrate(pair.short).series
        return (long > allowed) & (short > allowed) & (self.volume(pair.long).series >= self.least)


def _responses(window: str) -> tuple[Query, Query]:
    """Responses that end in an approval, a rejection or a question to a person are neither good nor bad."""
    failed, ended = (one.increase(window).without("sum", "outcome", "role") for one in responses(series))
    return failed, ended


def _requests(window: str) -> tuple[Query, Query]:
    duration = series(vllm.DURATION.metric)
    aside = ("engine", "replica", "server")
    everything = duration.part("_count").increase(window).without("sum", *aside)
    quick = duration.bucket(LATENCY_SECONDS).increase(window).without("sum", *aside, "le")
    return (everything - quick).clamp_min(0), everything


TASK_SUCCESS: Final = Indicator(
    name="task_success",
    windowed={window: _responses(window) for window in WINDOWS},
    target=TASK_SUCCESS_TARGET,
    least=LEAST_RESPONSES,
    unit="agents' responses",
)
VLLM_LATENCY: Final = Indicator(
    name="vllm_latency",
    windowed={window: _requests(window) for window in WINDOWS},
    target=LATENCY_TARGET,
    least=LEAST_REQUESTS,
    unit="requests to vLLM",
)
RECORDINGS: Final = (*TASK_SUCCESS.recordings, *VLLM_LATENCY.recordings)


def _success(pair: Pair) -> AlertingRule:
    return AlertingRule(
        name="FleetSuccessBudgetBurning",
        query=TASK_SUCCESS.query(pair),
        severity=pair.severity,
        component=Component.FLEET,
        summary="Agent success error budget is burning",
        catches="A failure rate of all agents that spends the monthly error budget: fast (pages) or slow (a ticket).",
        description=f"{{{{ $value | humanizePercentage }}}} of the agents' responses failed in the last {pair.long}, and "
        f"more than {TASK_SUCCESS.allowed(pair):.0%} in the last {pair.short}.",
        view=DashboardUid.AGENTS,
        limits=("TASK_SUCCESS_TARGET", "LEAST_RESPONSES"),
        for_=pair.for_,
        keep_firing_for="5m",
        labels={"long": pair.long, "short": pair.short},
    )


def _latency(pair: Pair) -> AlertingRule:
    return AlertingRule(
        name="VllmLatencyBudgetBurning",
        query=VLLM_LATENCY.query(pair),
        severity=pair.severity,
        component=Component.VLLM,
        summary="vLLM latency error budget is burning",
        catches="Slow requests that spend the monthly latency budget of a model: fast (pages) or slow (a ticket).",
        description=f"{{{{ $value | humanizePercentage }}}} of the requests for {{{{ $labels.model }}}} took longer than "
        f"{LATENCY_SECONDS:g} s in the last {pair.long}, and more than {VLLM_LATENCY.allowed(pair):.0%} in the last "
        f"{pair.short}.",
        view=DashboardUid.VLLM,
        variables=("model",),
        limits=("LATENCY_SECONDS", "LATENCY_TARGET", "LEAST_REQUESTS"),
        for_=pair.for_,
        keep_firing_for="5m",
        labels={"long": pair.long, "short": pair.short},
    )


def _rules() -> Iterable[AlertingRule]:
    yield from map(_success, PAIRS)
    yield from map(_latency, PAIRS)


RULES: Final[tuple[AlertingRule, ...]] = tuple(_rules())
