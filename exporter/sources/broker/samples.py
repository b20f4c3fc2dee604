"""The broker's tables as samples. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from exporter.fleet import registry
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, info, labels
from exporter.metrics.timestamps import rfc3339
from exporter.source import LIMIT_HITS, UNREADABLE_VALUES
from exporter.sources.broker.tables import LATENCIES, PENDING, BrokerSnapshot

SYSTEM: Final = "broker"

AGENTS = gauge("fleet_broker_agents", "Agents by status, type and mode (agents).", "status", "type", "mode")
AGENT = info(
    "fleet_broker_agent_info", "Status, type and mode of an agent (agents).", "agent", "status", "type", "mode"
)  # fmt: skip
HEARTBEAT = gauge(
    "fleet_broker_agent_heartbeat_timestamp_seconds", "Time of an agent's last heartbeat (agents.last_heartbeat).", "agent",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
INTERVAL = gauge(
    "fleet_broker_agent_heartbeat_interval_seconds", "Heartbeat interval of an agent (agents.heartbeat_interval_ms).",
    "agent", unit=Unit.SECONDS,
)  # fmt: skip
CPU = gauge(
    "fleet_broker_agent_cpu_ratio",
    "CPU usage of an agent, 1 = one core (agent_metrics.cpu_percent); no data if its process is unknown.",
    "agent", unit=Unit.RATIO,
)  # fmt: skip
MEMORY = gauge(
    "fleet_broker_agent_memory_bytes",
    "Memory usage of an agent (agent_metrics.memory_mb); no data if its process is unknown.",
    "agent", unit=Unit.BYTES,
)  # fmt: skip
AGENT_TICKETS = gauge("fleet_broker_agent_tickets", "Tickets that name an agent (agent_metrics.message_count).", "agent")
AGENT_ERRORS = gauge("fleet_broker_agent_errors", "Unresolved errors of an agent (agent_metrics.error_count).", "agent")
MEASURED = gauge(
    "fleet_broker_agent_measured_timestamp_seconds", "Time of an agent's last measurement (agent_metrics.timestamp).",
    "agent", unit=Unit.TIMESTAMP,
)  # fmt: skip
EVENTS = counter(
    "fleet_broker_events_total",
    "Events since the start, by type (agent_events); origin=alert: events that repeat one of the broker's own alerts.",
    "type",
    "origin",
)
ERRORS = gauge("fleet_broker_unresolved_errors", "Unresolved errors by agent and type (error_logs).", "agent", "type")
TICKETS = gauge("fleet_broker_tickets", "Tickets by status (tickets).", "status")
OLDEST = gauge(
    "fleet_broker_oldest_pending_ticket_timestamp_seconds",
    "Creation time of the oldest pending ticket (tickets.created_at); no data if none is pending.",
    unit=Unit.TIMESTAMP,
)
OVERDUE = gauge("fleet_broker_overdue_tickets", "Pending tickets older than their own timeout (tickets.timeout_ms).")
LATENCY = histogram(
    "fleet_broker_message_latency_seconds", "Delivery latency of the messages since the start (messages.latency_ms).",
    unit=Unit.SECONDS, bounds=LATENCIES,
)  # fmt: skip
METRICS: Final[tuple[Metric, ...]] = (
    AGENTS, AGENT, HEARTBEAT, INTERVAL, CPU, MEMORY, AGENT_TICKETS, AGENT_ERRORS, MEASURED, EVENTS, ERRORS, TICKETS, OLDEST,
    OVERDUE, LATENCY, registry.AGENTS, UNREADABLE_VALUES, LIMIT_HITS,
)  # fmt: skip

_MIB = 1024 * 1024
_FIELDS: Final = (
    "agents.last_heartbeat", "agents.heartbeat_interval_ms", "tickets.created_at", "tickets.timeout_ms",
    "messages.latency_ms",
)  # fmt: skip


def samples(broker: BrokerSnapshot) -> Iterable[Sample]:
    """Everything; no data for a missing table, 0 for an empty one."""
    yield from _agents(broker)
    for (kind, is_alert), number in broker.events.items():
        yield EVENTS(number, type=kind, origin="alert" if is_alert else "agent")
    for (agent, kind), number in broker.errors.items():
        yield ERRORS(number, agent=agent, type=kind)
    if broker.tickets is not None:
        for status, number in ({PENDING: 0} | broker.tickets.by_status).items():
            yield TICKETS(number, status=status)
        yield OVERDUE(broker.tickets.overdue)
        if broker.tickets.oldest is not None:
            yield OLDEST(broker.tickets.oldest)
    if broker.latencies is not None:
        yield broker.latencies.sample(LATENCY, labels())
    for kind, number in broker.refused.items():
        yield LIMIT_HITS(number, kind=kind)
    for column in _FIELDS:
        yield UNREADABLE_VALUES(broker.unreadable.get(column, 0), source=SYSTEM, field=column)


def _agents(broker: BrokerSnapshot) -> Iterable[Sample]:
    states: Counter[tuple[str, str]] = Counter()
    for (status, kind, mode), number in broker.number.items():
        yield AGENTS(number, status=status, type=kind, mode=mode)
        states[kind, status] += number
    for (kind, status), number in states.items():
        yield registry.AGENTS(number, system=SYSTEM, role=kind, state=status)
    for agent in broker.agents:
        who = labels(agent=agent.id)
        yield AGENT(1, agent=agent.id, status=agent.status, type=agent.type, mode=agent.mode)
        if agent.heartbeat is not None:
            yield HEARTBEAT.at(who, agent.heartbeat)
        if agent.interval is not None:
            yield INTERVAL.at(who, agent.interval)
        found = broker.figures.get(agent.id)
        if found is None:
            continue
        # An agent without a process writes 0 and 0, which is not a measurement.
        measured = agent.pid is not None or bool(found.memory_mb)
        if measured and found.cpu_percent is not None:
            yield CPU.at(who, found.cpu_percent / 100)
        if measured and found.memory_mb is not None:
            yield MEMORY.at(who, found.memory_mb * _MIB)
        yield AGENT_TICKETS.at(who, found.tickets)
        yield AGENT_ERRORS.at(who, found.errors)
        if found.at is not None:
            yield MEASURED.at(who, found.at)


def agents_view(broker: BrokerSnapshot) -> list[dict[str, Any]]:
    """The broker's agents in the shape that all systems share."""
    return [
        {
            "system": SYSTEM,
            "id": agent.id,
            "role": agent.type,
            "state": agent.status,
            "since": None,
            "task": None,
            "mode": agent.mode,
            "last_heard": rfc3339(agent.heartbeat),
        }
        for agent in broker.agents
    ]
