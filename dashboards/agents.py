"""Councils and agents: is every council whole and at work, what does each agent do, and how well do they answer?"""

from __future__ import annotations

from alerts import thresholds
from alerts.rules import states
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, WARN, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, logs, stat, table, timeline
from dashboards.grafana.queries import RANGE, Line, chosen, kept, raw, shown
from dashboards.rows import councils
from dashboards.rows.common import AGENT_STATES, alert_marks, coded, source_health, worded
from dashboards.rows.councils import EVENTS_OF_ROLE, SLOW, mean, of_roles, success
from dashboards.rows.event_log import events
from exporter.fleet import registry
from exporter.metrics.promql import Query
from exporter.sources.fleet import samples as fleet

_state = coded(fleet.AGENT_STATE, tuple(AGENT_STATES), "agent", "role", role=chosen("role"), agent=chosen("agent"))
_since = of_roles(fleet.AGENT_SINCE, agent=chosen("agent")).max("agent", "role")
_model = raw(
    f"topk by (role) (1, {of_roles(fleet.RESPONSE_SECONDS).part('_count').increase(RANGE).sum('role', 'model').text})",
    "role", "model",
)  # fmt: skip
_size = of_roles(fleet.COUNCIL_AGENTS).max("role")
_lacking = raw(f"sum ({_size.text} < bool {of_roles(fleet.COUNCIL_EXPECTED).max('role').text})")
_timeouts = of_roles(fleet.DELIBERATIONS, outcome="timeout").increase("30m").sum("role") | _size * 0
_longest = of_roles(fleet.OPEN_SINCE).min("role").age()


def _of_council(figure: Query) -> Line:
    """A figure of a role at each of its agents."""
    return Line((_since * 0).matching("+", figure, "role"))


DASHBOARD = Dashboard(
    view=View.AGENTS,
    title="Councils and agents",
    description="Whether every council is whole and at work, what each agent does, and how well they answer.",
    variables=[
        variables.of("role", "role", "Role", "Roles of councils.", shown(fleet.COUNCIL_AGENTS)),
        variables.of("agent", "agent", "Agent", "Agents of those roles.", of_roles(fleet.AGENT_SINCE)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("fleet")],
    rows=[
        Row(
            "",
            [
                *source_health("fleet", "The fleet's events", width=3),
                stat(
                    "Agents",
                    "Agents of the councils that were heard of (fleet_council_agents).",
                    Line(_size.sum()),
                    width=3, sparkline=True, decimals=0,
                    links=[ApiLink("All agents, with their tasks", path="/api/agents")],
                ),
                stat(
                    "Councils that lack agents",
                    "Councils with fewer agents than their last task was given to (fleet_council_agents, "
                    "fleet_council_expected_agents).",
                    Line(_lacking),
                    width=3, decimals=0, limits=[Limit(1, WARN)],
                    links=[ApiLink("Councils and their agents", path="/api/councils")],
                ),
                stat(
                    "Unresponsive",
                    "Agents that were asked and do not answer, though others of their council did (fleet_agents).",
                    Line(of_roles(registry.AGENTS, system=fleet.SYSTEM, state="unresponsive").sum()),
                    width=3, decimals=0, limits=[Limit(1, WARN)],
                    links=[ApiLink("All agents, with their tasks", path="/api/agents")],
                ),
                stat(
                    "Answers that succeed",
                    "Share of the last 15 minutes' answers that did not fail (fleet_agent_responses_total); "
                    "no data without answers.",
                    Line(success("15m")),
                    unit="percentunit", width=3, below=True,
                    limits=[Limit(1 - thresholds.RESPONSE_FAILURE_RATIO, BAD), Limit(thresholds.TASK_SUCCESS_TARGET, WARN)],
                    links=[Link("Events", View.EVENTS)],
                ),
                stat(
                    "Open deliberations",
                    "Deliberations under way (fleet_open_deliberations).",
                    Line(of_roles(fleet.OPEN_DELIBERATIONS).sum()),
                    width=3, sparkline=True, decimals=0,
                    links=[ApiLink("Which ones", path="/api/deliberations")],
                ),
                stat(
                    "Longest under way",
                    "Age of the longest deliberation under way (fleet_oldest_deliberation_start_timestamp_seconds); "
                    "no data where none is.",
                    Line(_longest.max()),
                    unit="s", width=3, limits=SLOW,
                    links=[ApiLink("Which one", path="/api/deliberations")],
                ),
                table(
                    "Councils",
                    "Each role's council: the model that most of its answers in the time shown came from, its agents, its "
                    "deliberations under way and those of the last 30 minutes that ran out of time, and the answers of the "
                    "last 15 minutes (fleet_council_*, fleet_deliberations_total, fleet_agent_response*).",
                    ["role"],
                    [
                        (Column("the model's answers", decimals=0), Line(_model)),
                        (Column("agents"), Line(_size)),
                        (Column("ready"), Line(of_roles(fleet.COUNCIL_READY).max("role"))),
                        (Column("expected"), Line(of_roles(fleet.COUNCIL_EXPECTED).max("role"))),
                        (Column("deliberating"), Line(of_roles(fleet.OPEN_DELIBERATIONS).sum("role"))),
                        (Column("longest", unit="s", limits=SLOW), Line(_longest)),
                        (
                            Column("timed out", decimals=0, limits=[Limit(thresholds.DELIBERATION_TIMEOUTS, WARN)]),
                            Line(_timeouts),
                        ),
                        (
                            Column(
                                "success", unit="percentunit", below=True,
                                limits=[
                                    Limit(1 - thresholds.RESPONSE_FAILURE_RATIO, BAD),
                                    Limit(thresholds.TASK_SUCCESS_TARGET, WARN),
                                ],
                            ),
                            Line(success("15m", "role")),
                        ),
                        (
                            Column("answer p95", unit="s"),
                            Line(of_roles(fleet.RESPONSE_SECONDS).quantile(0.95, "role", window="15m")),
                        ),
                        (Column("tokens an answer", decimals=0), Line(mean(fleet.RESPONSE_TOKENS, "15m", "role"))),
                    ],
                    labels={"model": "model"},
                    key_columns=[
                        Column("role", links=[Link("Only this council", View.AGENTS, {"role": "role"}), EVENTS_OF_ROLE]),
                        Column("model", links=[Link("The servers that run it", View.VLLM, {"model": "model"})]),
                    ],
                    width=24, height=7,
                ),
                timeline(
                    "Agents over time",
                    "State of each agent (fleet_agent_state); that it deliberates is told by its council's first answer.",
                    Line(kept(states.AGENTS, role=chosen("role"), agent=chosen("agent")).max("agent", "role"), "{{agent}}"),
                    states=worded(AGENT_STATES),
                    width=12, height=11,
                    links=[EVENTS_OF_ROLE, ApiLink("Its task, and its last ones", path="/api/agents/{agent}")],
                ),
                table(
                    "Agents",
                    "Each agent's state, since when (fleet_agent_state), and its council's answers of the last 15 minutes; "
                    "its task is no label: the link on its name opens it at the exporter.",
                    ["agent", "role"],
                    [
                        (Column("state", states=worded(AGENT_STATES)), Line(_state)),
                        (Column("for", unit="s"), Line(_since.age())),
                        (Column("council's success", unit="percentunit"), _of_council(success("15m", "role"))),
                        (
                            Column("council's p95", unit="s"),
                            _of_council(of_roles(fleet.RESPONSE_SECONDS).quantile(0.95, "role", window="15m")),
                        ),
                    ],
                    key_columns=[
                        Column(
                            "agent",
                            links=[
                                ApiLink("Its task, and its last ones", path="/api/agents/{agent}"),
                                Link("Only this agent", View.AGENTS, {"agent": "agent", "role": "role"}),
                                Link("What it costs", View.BOARD, {"agent": "agent"}),
                            ],
                        ),
                        Column("role", links=[EVENTS_OF_ROLE]),
                    ],
                    width=12, height=11, rows=50,
                ),
            ],
        ),
        councils.DELIBERATIONS,
        councils.ANSWERS,
        Row(
            "Agents of every system",
            [
                graph(
                    "Agents by system and state",
                    "Agents that events, the task board and the agent broker know, side by side (fleet_agents).",
                    Line(shown(registry.AGENTS).sum("system", "state"), "{{system}} {{state}}"),
                    unit="short", decimals=0, width=24,
                    links=[Link("The broker's agents", View.MONITORING), Link("The board's agents", View.BOARD)],
                ),
            ],
            collapsed=True,
        ),
        Row(
            "What the agents said",
            [
                logs(
                    "Agents' events",
                    "Answers and other events that name one of the agents chosen, with task and story, from Loki.",
                    events('role=~"$role"', 'agent=~"$agent"'),
                    width=24,
                ),
            ],
        ),
    ],
)  # fmt: skip
