"""Dashboard "Agent monitoring": agents, tickets and messages of the agent broker."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, stat, table
from dashboards.grafana.queries import PrometheusTarget, selector
from dashboards.rows import broker as broker_rows
from dashboards.rows.broker import ALL, DETAILS, MISSED, ONLY, STATUS, of_agents
from dashboards.rows.common import alert_marks, source_health
from exporter.fleet import registry
from exporter.metrics.metric import Metric
from exporter.sources.broker import samples as broker
from exporter.sources.broker.tables import PENDING

_CPU: Final = [Threshold(thresholds.AGENT_CPU_WARNING, WARN), Threshold(thresholds.AGENT_CPU_CRITICAL, BAD)]
_MEMORY: Final = [Threshold(thresholds.AGENT_MEMORY_WARNING, WARN), Threshold(thresholds.AGENT_MEMORY_CRITICAL, BAD)]
_ERRORS: Final = [Threshold(thresholds.AGENT_ERRORS_WARNING, WARN), Threshold(thresholds.AGENT_ERRORS_CRITICAL, BAD)]
_COSTS = Link("Costs", DashboardUid.BOARD)


def _most(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(of_agents(metric).max("agent").highest(10), "{{agent}}")


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(of_agents(metric).max("agent"), "{{agent}}")


_silence = of_agents(broker.HEARTBEAT).age().max("agent")
_missed = _silence.share_of(of_agents(broker.INTERVAL).max("agent"))

DASHBOARD = Dashboard(
    view=DashboardUid.MONITORING,
    title="Agent monitoring",
    description="Are the broker's agents healthy, and are tickets and messages processed?",
    variables=[
        variables.of("agent", "agent", "Agent", "Agents of the broker.", selector(broker.AGENT)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("broker")],
    rows=[
        Row(
            "",
            [
                *source_health("broker", "the agent broker", width=3),
                stat(
                    "Online",
                    "Agents with status online, and all agents of the broker (fleet_broker_agents).",
                    PrometheusTarget(
                        selector(broker.AGENTS, status="online").sum() | selector(broker.AGENTS).sum() * 0, "online"
                    ),
                    PrometheusTarget(selector(broker.AGENTS).sum(), "of"),
                    width=3,
                    decimals=0,
                    names=True,
                    base=ACCENT,
                    links=[ALL],
                ),
                stat(
                    "CPU",
                    "CPU usage of all agents in cores, and of the busiest agent, colored at the alert thresholds "
                    "(fleet_broker_agent_cpu_ratio).",
                    PrometheusTarget(of_agents(broker.CPU).sum(), "all"),
                    PrometheusTarget(of_agents(broker.CPU).max(), "max"),
                    unit="percentunit",
                    width=3,
                    names=True,
                    links=[Link("Pods", DashboardUid.OVERVIEW)],
                    columns=[FieldOverride("max", limits=_CPU)],
                ),
                stat(
                    "Memory",
                    "Memory usage of all agents, and of the largest (fleet_broker_agent_memory_bytes).",
                    PrometheusTarget(of_agents(broker.MEMORY).sum(), "all"),
                    PrometheusTarget(of_agents(broker.MEMORY).max(), "max"),
                    unit="bytes",
                    width=3,
                    names=True,
                    links=[Link("Pods", DashboardUid.OVERVIEW)],
                    columns=[FieldOverride("max", limits=_MEMORY)],
                ),
                stat(
                    "Errors",
                    "Unresolved errors (fleet_broker_unresolved_errors); 0 if the broker has none.",
                    PrometheusTarget(of_agents(broker.ERRORS).sum() | of_agents(broker.AGENT_ERRORS).sum() * 0),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN), Threshold(thresholds.AGENT_ERRORS_CRITICAL, BAD)],
                    links=[ALL],
                ),
                stat(
                    "Tickets",
                    "Pending tickets, and pending tickets older than their own timeout "
                    "(fleet_broker_tickets, fleet_broker_overdue_tickets).",
                    PrometheusTarget(selector(broker.TICKETS, status=PENDING).sum(), "pending"),
                    PrometheusTarget(selector(broker.OVERDUE).sum(), "overdue"),
                    width=3,
                    decimals=0,
                    names=True,
                    base=ACCENT,
                    links=[ALL],
                    columns=[FieldOverride("overdue", limits=[Threshold(1, BAD)])],
                ),
                stat(
                    "Heartbeats",
                    "Time since an agent's last heartbeat in heartbeat intervals, highest of all agents "
                    "(fleet_broker_agent_heartbeat_*).",
                    PrometheusTarget(_missed.max()),
                    width=3,
                    decimals=1,
                    limits=MISSED,
                    links=[ALL],
                ),
                table(
                    "Agents",
                    "Status, CPU, memory, tickets and errors of each agent as last written by the broker, and its last "
                    "heartbeat, colored at the alert thresholds (fleet_broker_agent_*). No CPU and memory if its process is "
                    "unknown.",
                    ["agent"],
                    [
                        (
                            FieldOverride("known", hidden=True),
                            PrometheusTarget(of_agents(broker.AGENT).max("agent", "status", "type")),
                        ),
                        (FieldOverride("CPU", unit="percentunit", limits=_CPU), _each(broker.CPU)),
                        (FieldOverride("memory", unit="bytes", limits=_MEMORY), _each(broker.MEMORY)),
                        (FieldOverride("messages", decimals=0), _each(broker.AGENT_TICKETS)),
                        (FieldOverride("errors", decimals=0, limits=_ERRORS), _each(broker.AGENT_ERRORS)),
                        (FieldOverride("last heartbeat", unit="s"), PrometheusTarget(_silence)),
                        (FieldOverride("missed", decimals=1, limits=MISSED), PrometheusTarget(_missed)),
                    ],
                    labels={"status": "status", "type": "type"},
                    key_columns=[
                        FieldOverride("agent", links=[DETAILS, ONLY, _COSTS]),
                        FieldOverride("status", states=STATUS),
                    ],
                    sort="missed",
                    width=24,
                    height=8,
                    rows=50,
                ),
                graph(
                    "CPU",
                    "CPU usage of the ten busiest agents, 100% = one core; lines: alert thresholds "
                    "(fleet_broker_agent_cpu_ratio).",
                    _most(broker.CPU),
                    unit="percentunit",
                    limits=_CPU,
                    links=[DETAILS, ONLY],
                ),
                graph(
                    "Memory",
                    "Memory usage of the ten largest agents; lines: alert thresholds (fleet_broker_agent_memory_bytes).",
                    _most(broker.MEMORY),
                    unit="bytes",
                    limits=_MEMORY,
                    links=[DETAILS, ONLY],
                ),
                graph(
                    "Active errors",
                    "Unresolved errors, ten highest agents; lines: alert thresholds (fleet_broker_agent_errors).",
                    _most(broker.AGENT_ERRORS),
                    unit="locale",
                    decimals=0,
                    limits=_ERRORS,
                    links=[DETAILS, ONLY],
                ),
            ],
        ),
        broker_rows.LIFECYCLE,
        broker_rows.TICKETS,
        Row(
            "Agent details",
            [
                table(
                    "Agent settings",
                    "Mode and heartbeat interval of each agent, and the age of its last measurement (fleet_broker_agent_*).",
                    ["agent"],
                    [
                        (
                            FieldOverride("known", hidden=True),
                            PrometheusTarget(of_agents(broker.AGENT).max("agent", "mode")),
                        ),
                        (FieldOverride("interval", unit="s"), _each(broker.INTERVAL)),
                        (
                            FieldOverride("measured", unit="s"),
                            PrometheusTarget(of_agents(broker.MEASURED).age().max("agent")),
                        ),
                    ],
                    labels={"mode": "mode"},
                    key_columns=[FieldOverride("agent", links=[DETAILS, ONLY, _COSTS])],
                    sort="agent",
                    descending=False,
                    width=10,
                    height=8,
                    rows=50,
                ),
                graph(
                    "Agents by system",
                    "Agents known from the broker, the task board and events (fleet_agents).",
                    PrometheusTarget(selector(registry.AGENTS).sum("system", "state"), "{{system}} {{state}}"),
                    unit="locale",
                    decimals=0,
                    width=14,
                    links=[Link("Councils", DashboardUid.AGENTS), Link("Board agents", DashboardUid.BOARD)],
                ),
            ],
            collapsed=True,
        ),
    ],
)
