"""Rows of the agent broker: the lifecycle of its agents, and its tickets and messages."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.rules import broker as broker_rules
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, heatmap, table
from dashboards.grafana.queries import RANGE, RATE, STEP, PrometheusTarget, recorded, selector, variable
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Series, is_not
from exporter.sources.broker import samples as broker

MISSED: Final = [Threshold(thresholds.HEARTBEATS_MISSED, WARN)]
STATUS: Final = {
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
DETAILS = ApiLink("Metrics, events and errors", path="/api/monitoring/agents/{agent}")
ONLY = Link("Only this agent", DashboardUid.MONITORING, {"agent": "agent"})
ALL = ApiLink("Agents, last events, errors", path="/api/monitoring/dashboard")


def of_agents(metric: Metric) -> Series:
    """Of the selected agents."""
    return selector(metric, agent=variable("agent"))


LIFECYCLE = Row(
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
            links=[ALL],
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
            key_columns=[FieldOverride("type", links=[ALL])],
            width=8,
            sort="events",
            height=8,
        ),
        table(
            "Unresolved errors",
            "Unresolved errors by agent and type (fleet_broker_unresolved_errors).",
            ["agent", "type"],
            [(FieldOverride("errors", decimals=0), PrometheusTarget(of_agents(broker.ERRORS).max("agent", "type")))],
            key_columns=[FieldOverride("agent", links=[DETAILS, ONLY])],
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
            links=[ALL],
            columns=[FieldOverride(name, color=color) for name, (_, color) in STATUS.items()],
        ),
        graph(
            "Time since heartbeat",
            "Time since the last heartbeat in heartbeat intervals, ten highest agents; line: alert threshold "
            "(fleet:broker_agent_heartbeats:missed).",
            PrometheusTarget(recorded(broker_rules.MISSED, agent=variable("agent")).max("agent").highest(10), "{{agent}}"),
            unit="locale",
            decimals=1,
            width=12,
            limits=MISSED,
            links=[DETAILS, ONLY],
        ),
    ],
)

TICKETS = Row(
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
            links=[ALL],
            columns=[*_TICKETS, FieldOverride("overdue", color=BAD)],
        ),
        graph(
            "Oldest pending ticket",
            "Age of the oldest pending ticket (fleet_broker_oldest_pending_ticket_timestamp_seconds); no data if "
            "none is pending.",
            PrometheusTarget(selector(broker.OLDEST).age().max(), "age"),
            width=8,
            unit="s",
            links=[ALL],
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
)
