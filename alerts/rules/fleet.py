"""Agents, councils and deliberations, as reported by the fleet's events."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, RecordingRule, Severity
from alerts.rules import sources
from alerts.shares import responses
from alerts.thresholds import DELIBERATION_TIMEOUTS, RESPONSE_FAILURE_RATIO, RESPONSES_A_SECOND
from exporter.metrics.promql import series
from exporter.sources.fleet import samples as fleet

_FAILED, _ENDED = responses(series)
RESPONSES: Final = RecordingRule(
    name="fleet:agent_responses:rate15m",
    query=_ENDED.rate("15m").without("sum", "outcome"),
    meaning="Responses per second by role that completed or failed.",
)
FAILED_SHARE: Final = RecordingRule(
    name="fleet:agent_responses_failed:ratio15m",
    query=_FAILED.rate("15m").without("sum", "outcome").share_of(RESPONSES.query),
    meaning="Share of a role's responses that failed.",
)
RECORDINGS: Final = (RESPONSES, FAILED_SHARE)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "FleetEventsUnreadable", "fleet", Component.FLEET, "Fleet events cannot be read", DashboardUid.EVENTS,
        because="jetstream",
        catches="Credentials of the events' NATS user that expired while the JetStream user still works.",
    ),
    AlertingRule(
        name="FleetAgentUnresponsive",
        query=series(fleet.AGENT_STATE, state="unresponsive").equals(1),
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="Agent is unresponsive",
        catches="One agent that hangs in a call to its model while the rest of its council responds.",
        description="{{ $labels.agent }} ({{ $labels.role }}) has not responded to its council in time although other "
        "agents have.",
        view=DashboardUid.AGENTS,
        variables=("role", "agent"),
        keep_firing_for="2m",
    ),
    AlertingRule(
        name="FleetAgentsFailing",
        query=(FAILED_SHARE.series > RESPONSE_FAILURE_RATIO) & (RESPONSES.series > RESPONSES_A_SECOND),
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="Most responses of a role are failing",
        catches="A bad prompt or tool release for one role: that role fails, the fleet as a whole stays within its budget.",
        description="{{ $value | humanizePercentage }} of the responses of {{ $labels.role }} agents failed in the last "
        "15 minutes.",
        view=DashboardUid.AGENTS,
        variables=("role",),
        limits=("RESPONSE_FAILURE_RATIO", "RESPONSES_A_SECOND"),
        for_="5m",
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="FleetCouncilIncomplete",
        query=series(fleet.COUNCIL_AGENTS).max_over("5m") < series(fleet.COUNCIL_EXPECTED).min_over("5m"),
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="Council has fewer agents than expected",
        catches="A council that lost a member and decides with fewer votes than planned.",
        description=f"The {{{{ $labels.role }}}} council has {COUNT} agents, fewer than its last task was assigned to.",
        view=DashboardUid.AGENTS,
        variables=("role",),
        for_="10m",
    ),
    AlertingRule(
        name="FleetDeliberationsTimingOut",
        query=series(fleet.DELIBERATIONS, outcome="timeout").increase("30m") >= DELIBERATION_TIMEOUTS,
        severity=Severity.WARNING,
        component=Component.FLEET,
        summary="Deliberations are timing out",
        catches="Councils that wait for a response that never comes; stories stop and no component is down.",
        description=f"{COUNT} deliberations of the {{{{ $labels.role }}}} council timed out in the last 30 minutes.",
        view=DashboardUid.AGENTS,
        variables=("role",),
        limits=("DELIBERATION_TIMEOUTS",),
        keep_firing_for="5m",
    ),
)  # fmt: skip
