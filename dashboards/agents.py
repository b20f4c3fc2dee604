"""Dashboard "Councils and agents": council completeness, agent states, deliberations and responses."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.rules import states
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, logs, stat, table, timeline
from dashboards.grafana.queries import NOW, RANGE, PrometheusTarget, raw, recorded, selector, variable
from dashboards.rows import councils, error_budgets
from dashboards.rows.common import AGENT_STATES, alert_marks, coded, source_health, worded
from dashboards.rows.councils import EVENTS_OF_ROLE, SLOW, failures, of_roles
from dashboards.rows.event_log import events
from exporter.fleet import registry
from exporter.metrics.promql import Query
from exporter.sources.fleet import samples as fleet

_URGENCY = {
    state: AGENT_STATES[state] for state in ("unresponsive", "failed", "unknown", "deliberating", "idle", "completed")
}
"""The table shows the agents first that need attention, then those at work."""
_state = coded(fleet.AGENT_STATE, tuple(_URGENCY), "agent", "role", role=variable("role"), agent=variable("agent"))
_since = of_roles(fleet.AGENT_SINCE, agent=variable("agent")).max("agent", "role")
_model = raw(
    f"topk by (role) (1, {of_roles(fleet.RESPONSE_SECONDS).part('_count').increase(RANGE).sum('role', 'model').text})",
    "role",
    "model",
)
_size = of_roles(fleet.COUNCIL_AGENTS).max("role")
_lacking = raw(f"sum ({_size.text} < bool {of_roles(fleet.COUNCIL_EXPECTED).max('role').text})")
_timeouts = of_roles(fleet.DELIBERATIONS, outcome="timeout").increase("30m").sum("role") | _size * 0
_longest = of_roles(fleet.OPEN_SINCE).min("role").age()


def _of_council(figure: Query) -> PrometheusTarget:
    """A value per role, repeated for each agent of the role."""
    return PrometheusTarget((_since * 0).matching("+", figure, "role"))


DASHBOARD = Dashboard(
    view=DashboardUid.AGENTS,
    title="Councils and agents",
    description="Are all councils complete, what is each agent doing, and how well do agents respond?",
    variables=[
        variables.of("role", "role", "Role", "Roles of councils.", selector(fleet.COUNCIL_AGENTS)),
        variables.of("agent", "agent", "Agent", "Agents of the selected roles.", of_roles(fleet.AGENT_SINCE)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("fleet")],
    rows=[
        Row(
            "",
            [
                *source_health("fleet", "event streams", width=3),
                stat(
                    "Agents",
                    "Agents seen in councils (fleet_council_agents).",
                    PrometheusTarget(_size.sum()),
                    width=3,
                    decimals=0,
                    links=[ApiLink("All agents and their tasks", path="/api/agents")],
                ),
                stat(
                    "Incomplete",
                    "Councils with fewer agents than their last task was sent to (fleet_council_agents, "
                    "fleet_council_expected_agents).",
                    PrometheusTarget(_lacking),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN)],
                    links=[ApiLink("Councils and their agents", path="/api/councils")],
                ),
                stat(
                    "Stuck",
                    "Agents that did not respond to a task although other agents of their council did (fleet_agents).",
                    PrometheusTarget(of_roles(registry.AGENTS, system=fleet.SYSTEM, state="unresponsive").sum()),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN)],
                    links=[ApiLink("All agents and their tasks", path="/api/agents")],
                ),
                stat(
                    "Failures",
                    error_budgets.FAILING_MEANING,
                    PrometheusTarget(failures("1h")),
                    unit="percentunit",
                    width=3,
                    limits=error_budgets.FAILING_LIMITS,
                    links=[Link("Events", DashboardUid.EVENTS)],
                ),
                stat(
                    "Busy agents",
                    "Mean number of agents at work in the last 5 minutes: seconds of work that agents reported, per second "
                    "(fleet_agent_response_duration_seconds_sum).",
                    PrometheusTarget(of_roles(fleet.RESPONSE_SECONDS).part("_sum").rate(NOW).sum()),
                    width=3,
                    decimals=0,
                    links=[ApiLink("Deliberations in progress", path="/api/deliberations")],
                ),
                stat(
                    "Longest",
                    "Age of the oldest deliberation in progress (fleet_oldest_deliberation_start_timestamp_seconds); no "
                    "data if none is in progress.",
                    PrometheusTarget(_longest.max()),
                    unit="s",
                    width=3,
                    limits=SLOW,
                    links=[ApiLink("Deliberations in progress", path="/api/deliberations")],
                ),
                table(
                    "Councils",
                    "Council of each role: the model with the most responses in the time range, agents, deliberations in "
                    "progress, deliberations that timed out in the last 30 minutes, and share of failed responses in the "
                    "last 15 minutes (fleet_council_*, fleet_deliberations_total, fleet_agent_response*).",
                    ["role"],
                    [
                        (FieldOverride("responses by model", hidden=True), PrometheusTarget(_model)),
                        (FieldOverride("agents"), PrometheusTarget(_size)),
                        (FieldOverride("ready"), PrometheusTarget(of_roles(fleet.COUNCIL_READY).max("role"))),
                        (FieldOverride("expected"), PrometheusTarget(of_roles(fleet.COUNCIL_EXPECTED).max("role"))),
                        (FieldOverride("deliberating"), PrometheusTarget(of_roles(fleet.IN_PROGRESS).sum("role"))),
                        (FieldOverride("longest", unit="s", limits=SLOW), PrometheusTarget(_longest)),
                        (
                            FieldOverride(
                                "timed out", decimals=0, limits=[Threshold(thresholds.DELIBERATION_TIMEOUTS, WARN)]
                            ),
                            PrometheusTarget(_timeouts),
                        ),
                        (
                            FieldOverride(
                                "failures",
                                unit="percentunit",
                                limits=[Threshold(thresholds.RESPONSE_FAILURE_RATIO, BAD)],
                            ),
                            PrometheusTarget(failures("15m", "role")),
                        ),
                    ],
                    labels={"model": "model"},
                    key_columns=[
                        FieldOverride(
                            "role", links=[Link("Only this council", DashboardUid.AGENTS, {"role": "role"}), EVENTS_OF_ROLE]
                        ),
                        FieldOverride("model", links=[Link("Servers of this model", DashboardUid.VLLM, {"model": "model"})]),
                    ],
                    sort="failures",
                    width=24,
                    height=7,
                ),
                timeline(
                    "Agents over time",
                    "State of each agent (fleet_agent_state). An agent is deliberating from its council's first response.",
                    PrometheusTarget(
                        recorded(states.AGENTS, role=variable("role"), agent=variable("agent")).max("agent", "role"),
                        "{{agent}}",
                    ),
                    states=worded(AGENT_STATES),
                    width=10,
                    height=11,
                    links=[EVENTS_OF_ROLE, ApiLink("Current and recent tasks", path="/api/agents/{agent}")],
                ),
                table(
                    "Agents",
                    "State of each agent, time in that state (fleet_agent_state), and its council's responses of the last "
                    "15 minutes. The agent's link opens its tasks in the exporter.",
                    ["agent", "role"],
                    [
                        (FieldOverride("state", states=worded(_URGENCY)), PrometheusTarget(_state)),
                        (FieldOverride("in state for", unit="s", width=100), PrometheusTarget(_since.age())),
                        (FieldOverride("council's failures", unit="percentunit"), _of_council(failures("15m", "role"))),
                        (
                            FieldOverride("council's p95", unit="s", width=100),
                            _of_council(of_roles(fleet.RESPONSE_SECONDS).quantile(0.95, "role", window="15m")),
                        ),
                    ],
                    key_columns=[
                        FieldOverride(
                            "agent",
                            links=[
                                ApiLink("Current and recent tasks", path="/api/agents/{agent}"),
                                Link("Only this agent", DashboardUid.AGENTS, {"agent": "agent", "role": "role"}),
                                Link("Costs", DashboardUid.BOARD),
                            ],
                        ),
                        FieldOverride("role", links=[EVENTS_OF_ROLE]),
                    ],
                    sort="state",
                    descending=False,
                    width=14,
                    height=11,
                    rows=50,
                ),
            ],
        ),
        councils.DELIBERATIONS,
        councils.RESPONSES,
        Row(
            "Agents by system",
            [
                graph(
                    "Agents by system and state",
                    "Agents known from events, the task board and the agent broker (fleet_agents).",
                    PrometheusTarget(selector(registry.AGENTS).sum("system", "state"), "{{system}} {{state}}"),
                    unit="locale",
                    decimals=0,
                    width=24,
                    links=[
                        Link("The broker's agents", DashboardUid.MONITORING),
                        Link("The board's agents", DashboardUid.BOARD),
                    ],
                ),
            ],
            collapsed=True,
        ),
        Row(
            "Agent events",
            [
                logs(
                    "Agent events",
                    "Responses and other events of the selected agents, with task and story, from Loki.",
                    events('role=~"$role"', 'agent=~"$agent"'),
                    width=24,
                ),
            ],
        ),
    ],
)
