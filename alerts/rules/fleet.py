"""Agents, councils and deliberations, as the fleet's events tell of them."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Recording, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import DELIBERATION_SECONDS, DELIBERATION_TIMEOUTS, RESPONSE_FAILURE_RATIO, RESPONSES_A_SECOND
from alerts.view import View
from exporter.metrics.promql import series
from exporter.sources.fleet import samples as fleet

ANSWERS: Final = Recording(
    name="fleet:agent_answers:rate15m",
    query=series(fleet.RESPONSES).rate("15m").without("sum", "outcome"),
    meaning="Answers of a role's agents a second, of whatever outcome.",
)
FAILED_SHARE: Final = Recording(
    name="fleet:agent_answers_failed:ratio15m",
    query=series(fleet.RESPONSES, outcome="failed").rate("15m").without("sum", "outcome").share_of(ANSWERS.query),
    meaning="Share of a role's answers that failed.",
)
RECORDINGS: Final = (ANSWERS, FAILED_SHARE)

RULES: Final[tuple[Rule, ...]] = (
    sources.down(
        "FleetEventsUnreadable", "fleet", Component.FLEET, "The fleet's events cannot be followed", View.EVENTS,
        because="jetstream",
    ),
    Rule(
        name="FleetAgentUnresponsive",
        query=series(fleet.AGENT_STATE, state="unresponsive").equals(1),
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="An agent does not answer",
        description="{{ $labels.agent }} ({{ $labels.role }}): its council was asked, others have answered, and it has "
        "not in time (30 seconds, unless the exporter is told otherwise).",
        view=View.AGENTS,
        variables=("role", "agent"),
        kept="2m",
    ),
    Rule(
        name="FleetAgentsFailing",
        query=(FAILED_SHARE.series > RESPONSE_FAILURE_RATIO) & (ANSWERS.series > RESPONSES_A_SECOND),
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="Most answers of a role's agents fail",
        description="{{ $value | humanizePercentage }} of the answers of {{ $labels.role }} agents in fifteen minutes "
        "have failed.",
        view=View.AGENTS,
        variables=("role",),
        limits=("RESPONSE_FAILURE_RATIO", "RESPONSES_A_SECOND"),
        lasting="5m",
        kept="5m",
    ),
    Rule(
        name="FleetCouncilIncomplete",
        query=series(fleet.COUNCIL_AGENTS).max_over("5m") < series(fleet.COUNCIL_EXPECTED).min_over("5m"),
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="A council has fewer agents than its tasks are given to",
        description=f"Agents of the {{{{ $labels.role }}}} council that were heard of: {COUNT}, fewer than its last task "
        "was given to.",
        view=View.AGENTS,
        variables=("role",),
        lasting="10m",
    ),
    Rule(
        name="FleetDeliberationSlow",
        query=series(fleet.OPEN_SINCE).age() > DELIBERATION_SECONDS,
        severity=Severity.INFO,
        component=Component.FLEET,
        summary="A deliberation will soon run out of time",
        description="A deliberation of the {{ $labels.role }} council has been under way for "
        "{{ $value | humanizeDuration }}.",
        view=View.AGENTS,
        variables=("role",),
        limits=("DELIBERATION_SECONDS",),
    ),
    Rule(
        name="FleetDeliberationsTimingOut",
        query=series(fleet.DELIBERATIONS, outcome="timeout").increase("30m") >= DELIBERATION_TIMEOUTS,
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="Deliberations run out of time",
        description=f"{COUNT} deliberations of the {{{{ $labels.role }}}} council ran out of time in half "
        "an hour.",
        view=View.AGENTS,
        variables=("role",),
        limits=("DELIBERATION_TIMEOUTS",),
        kept="5m",
    ),
)  # fmt: skip
