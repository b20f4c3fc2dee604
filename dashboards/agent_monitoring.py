"""Dashboard "Agent monitoring": agents, tickets and messages of the agent broker."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.rules import broker as broker_rules
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, heatmap, stat, table
from dashboards.grafana.queries import RANGE, RATE, STEP, PrometheusTarget, recorded, selector, variable
from dashboards.rows.common import alert_marks, source_health
from exporter.fleet import registry
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series, is_not
from exporter.sources.broker import samples as broker
from exporter.sources.broker.tables import PENDING

_CPU: Final = [Threshold(thresholds.AGENT_CPU_WARNING, WARN), Threshold(thresholds.AGENT_CPU_CRITICAL, BAD)]
_MEMORY: Final = [Threshold(thresholds.AGENT_MEMORY_WARNING, WARN), Threshold(thresholds.AGENT_MEMORY_CRITICAL, BAD)]
_ERRORS: Final = [Threshold(thresholds.AGENT_ERRORS_WARNING, WARN), Threshold(thresholds.AGENT_ERRORS_CRITICAL, BAD)]
_MISSED: Final = [Threshold(thresholds.HEARTBEATS_MISSED, WARN)]
_STATUS: Final = {
    "online": ("online", OK),
    "busy": ("busy", ACCENT),
    "idle": ("idle", QUIET),
    "error": ("error", BAD),
    "offline": ("offline", WARN),
}
_TICKETS: Final = [
    FieldOverride("pending", color=WARN),
    FieldOverride("completed", color=OK),
    FieldOverride("failed", color=BAD),
]
_DETAILS = ApiLink("Metrics, events and errors", path="/api/monitoring/agents/{agent}")
_ONLY = Link("Only this agent", DashboardUid.MONITORING, {"agent": "agent"})
_COSTS = Link("Costs", DashboardUid.BOARD)
_ALL = ApiLink("Agents, last events, errors", path="/api/monitoring/dashboard")


def _of(metric: Metric) -> Series:
    """Of the selected agents."""
    return selector(metric, agent=variable("agent"))


def _most(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(_of(metric).max("agent").highest(10), "{{agent}}")


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(_of(metric).max("agent"), "{{agent}}")


_silence = _of(broker.HEARTBEAT).age().max("agent")
_missed = _silence.share_of(_of(broker.INTERVAL).max("agent"))

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
                    links=[_ALL],
                ),
                stat(
                    "CPU",
                    "CPU usage of all agents in cores, and of the busiest agent, colored at the alert thresholds "
                    "(fleet_broker_agent_cpu_ratio).",
                    PrometheusTarget(_of(broker.CPU).sum(), "all"),
                    PrometheusTarget(_of(broker.CPU).max(), "max"),
                    unit="percentunit",
                    width=3,
                    names=True,
                    links=[Link("Pods", DashboardUid.OVERVIEW)],
                    columns=[FieldOverride("max", limits=_CPU)],
                ),
                stat(
                    "Memory",
                    "Memory usage of all agents, and of the largest (fleet_broker_agent_memory_bytes).",
                    PrometheusTarget(_of(broker.MEMORY).sum(), "all"),
                    PrometheusTarget(_of(broker.MEMORY).max(), "max"),
                    unit="bytes",
                    width=3,
                    names=True,
                    links=[Link("Pods", DashboardUid.OVERVIEW)],
                    columns=[FieldOverride("max", limits=_MEMORY)],
                ),
                stat(
                    "Errors",
                    "Unresolved errors (fleet_broker_unresolved_errors); 0 if the broker has none.",
                    PrometheusTarget(_of(broker.ERRORS).sum() | _of(broker.AGENT_ERRORS).sum() * 0),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN), Threshold(thresholds.AGENT_ERRORS_CRITICAL, BAD)],
                    links=[_ALL],
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
                    links=[_ALL],
                    columns=[FieldOverride("overdue", limits=[Threshold(1, BAD)])],
                ),
                stat(
                    "Heartbeats",
                    "Time since an agent's last heartbeat in heartbeat intervals, highest of all agents "
                    "(fleet_broker_agent_heartbeat_*).",
                    PrometheusTarget(_missed.max()),
                    width=3,
                    decimals=1,
                    limits=_MISSED,
                    links=[_ALL],
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
                            PrometheusTarget(_of(broker.AGENT).max("agent", "status", "type")),
                        ),
                        (FieldOverride("CPU", unit="percentunit", limits=_CPU), _each(broker.CPU)),
                        (FieldOverride("memory", unit="bytes", limits=_MEMORY), _each(broker.MEMORY)),
                        (FieldOverride("messages", decimals=0), _each(broker.AGENT_TICKETS)),
                        (FieldOverride("errors", decimals=0, limits=_ERRORS), _each(broker.AGENT_ERRORS)),
                        (FieldOverride("last heartbeat", unit="s"), PrometheusTarget(_silence)),
                        (FieldOverride("missed", decimals=1, limits=_MISSED), PrometheusTarget(_missed)),
                    ],
                    labels={"status": "status", "type": "type"},
                    key_columns=[
                        FieldOverride("agent", links=[_DETAILS, _ONLY, _COSTS]),
                        FieldOverride("status", states=_STATUS),
                    ],
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
                    links=[_DETAILS, _ONLY],
                ),
                graph(
                    "Memory",
                    "Memory usage of the ten largest agents; lines: alert thresholds (fleet_broker_agent_memory_bytes).",
                    _most(broker.MEMORY),
                    unit="bytes",
                    limits=_MEMORY,
                    links=[_DETAILS, _ONLY],
                ),
                graph(
                    "Active errors",
                    "Unresolved errors, ten highest agents; lines: alert thresholds (fleet_broker_agent_errors).",
                    _most(broker.AGENT_ERRORS),
                    unit="locale",
                    decimals=0,
                    limits=_ERRORS,
                    links=[_DETAILS, _ONLY],
                ),
            ],
        ),
        Row(
            "Agent lifecycle",
            [
                graph(
                    "Lifecycle events",
                    "Agent events per step, by type (fleet_broker_events_total). Loki does not hold them; the link shows "
                    "the latest with their texts.",
                    PrometheusTarget(selector(broker.EVENTS, origin=is_not("alert")).increase(STEP).sum("type"), "{{type}}"),
                    width=8,
                    unit="locale",
                    stacked=True,
                    bars=True,
                    links=[_ALL],
                    columns=[
                        FieldOverride("error", color=BAD),
                        FieldOverride("warning", color=WARN),
                        FieldOverride("started", color=OK),
                    ],
                ),
                table(
                    "Events by type",
                    "Events of the selected time range; origin alert: events that repeat one of the broker's own alerts "
                    "(fleet_broker_events_total).",
                    ["type", "origin"],
                    [
                        (
                            FieldOverride("events", decimals=0),
                            PrometheusTarget(selector(broker.EVENTS).increase(RANGE).sum("type", "origin")),
                        )
                    ],
                    key_columns=[FieldOverride("type", links=[_ALL])],
                    width=8,
                    sort="events",
                    height=8,
                ),
                table(
                    "Unresolved errors",
                    "Unresolved errors by agent and type (fleet_broker_unresolved_errors).",
                    ["agent", "type"],
                    [(FieldOverride("errors", decimals=0), PrometheusTarget(_of(broker.ERRORS).max("agent", "type")))],
                    key_columns=[FieldOverride("agent", links=[_DETAILS, _ONLY])],
                    width=8,
                    sort="errors",
                    height=8,
                ),
                graph(
                    "Agents by status",
                    "Agents by status (fleet_broker_agents).",
                    PrometheusTarget(selector(broker.AGENTS).sum("status"), "{{status}}"),
                    unit="locale",
                    decimals=0,
                    stacked=True,
                    width=12,
                    links=[_ALL],
                    columns=[FieldOverride(name, color=color) for name, (_, color) in _STATUS.items()],
                ),
                graph(
                    "Time since heartbeat",
                    "Time since the last heartbeat in heartbeat intervals, ten highest agents; line: alert threshold "
                    "(fleet:broker_agent_heartbeats:missed).",
                    PrometheusTarget(
                        recorded(broker_rules.MISSED, agent=variable("agent")).max("agent").highest(10), "{{agent}}"
                    ),
                    unit="locale",
                    decimals=1,
                    width=12,
                    limits=_MISSED,
                    links=[_DETAILS, _ONLY],
                ),
            ],
        ),
        Row(
            "Tickets and messages",
            [
                graph(
                    "Tickets by status",
                    "Tickets by status (fleet_broker_tickets), and overdue tickets (fleet_broker_overdue_tickets).",
                    PrometheusTarget(selector(broker.TICKETS).sum("status"), "{{status}}"),
                    PrometheusTarget(selector(broker.OVERDUE).sum(), "overdue"),
                    width=8,
                    unit="locale",
                    decimals=0,
                    links=[_ALL],
                    columns=[*_TICKETS, FieldOverride("overdue", color=BAD)],
                ),
                graph(
                    "Oldest pending ticket",
                    "Age of the oldest pending ticket (fleet_broker_oldest_pending_ticket_timestamp_seconds); no data if "
                    "none is pending.",
                    PrometheusTarget(selector(broker.OLDEST).age().max(), "age"),
                    width=8,
                    unit="s",
                    links=[_ALL],
                ),
                graph(
                    "Messages",
                    "Delivered messages per second (fleet_broker_message_latency_seconds_count).",
                    PrometheusTarget(selector(broker.LATENCY).part("_count").rate(RATE).sum(), "messages"),
                    width=8,
                    unit="mps",
                ),
                graph(
                    "Message latency",
                    "Delivery latency of messages, p50 and p95 (fleet_broker_message_latency_seconds).",
                    PrometheusTarget(selector(broker.LATENCY).quantile(0.95, window=RATE), "p95"),
                    PrometheusTarget(selector(broker.LATENCY).quantile(0.5, window=RATE), "p50"),
                    unit="s",
                    width=12,
                ),
                heatmap(
                    "Messages by latency",
                    "Messages per second by latency (fleet_broker_message_latency_seconds).",
                    PrometheusTarget(selector(broker.LATENCY).bucket_rate(RATE).sum("le"), "{{le}}"),
                    unit="s",
                    width=12,
                ),
            ],
        ),
        Row(
            "Agent details",
            [
                table(
                    "Agent settings",
                    "Mode and heartbeat interval of each agent, and the age of its last measurement (fleet_broker_agent_*).",
                    ["agent"],
                    [
                        (FieldOverride("known", hidden=True), PrometheusTarget(_of(broker.AGENT).max("agent", "mode"))),
                        (FieldOverride("interval", unit="s"), _each(broker.INTERVAL)),
                        (FieldOverride("measured", unit="s"), PrometheusTarget(_of(broker.MEASURED).age().max("agent"))),
                    ],
                    labels={"mode": "mode"},
                    key_columns=[FieldOverride("agent", links=[_DETAILS, _ONLY, _COSTS])],
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
