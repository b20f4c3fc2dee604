"""The broker's tables as samples. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from exporter.events.redaction import timestamp
from exporter.fleet import registry
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, info, labels
from exporter.sources.broker.tables import Broker

PENDING: Final = "pending"
SYSTEM: Final = "broker"

AGENTS = gauge("fleet_broker_agents", "Agents by status, type and mode (agents).", "status", "type", "mode")
AGENT = info(
    "fleet_broker_agent_info", "Status, type and mode of an agent (agents).", "agent", "status", "type", "mode"
)  # fmt: skip
HEARTBEAT = gauge(
    "fleet_broker_agent_heartbeat_timestamp_seconds", "When an agent was last heard of (agents.last_heartbeat).", "agent",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
INTERVAL = gauge(
    "fleet_broker_agent_heartbeat_interval_seconds", "Time between an agent's heartbeats (agents.heartbeat_interval_ms).",
    "agent", unit=Unit.SECONDS,
)  # fmt: skip
CPU = gauge(
    "fleet_broker_agent_cpu_ratio",
    "CPU of an agent, 1 being one core (agent_metrics.cpu_percent); absent where no process is known.",
    "agent", unit=Unit.RATIO,
)  # fmt: skip
MEMORY = gauge(
    "fleet_broker_agent_memory_bytes",
    "Memory of an agent (agent_metrics.memory_mb); absent where no process is known.",
    "agent", unit=Unit.BYTES,
)  # fmt: skip
AGENT_TICKETS = gauge("fleet_broker_agent_tickets", "Tickets that name an agent (agent_metrics.message_count).", "agent")
AGENT_ERRORS = gauge("fleet_broker_agent_errors", "Unresolved errors of an agent (agent_metrics.error_count).", "agent")
MEASURED = gauge(
    "fleet_broker_agent_measured_timestamp_seconds", "When an agent was last measured (agent_metrics.timestamp).", "agent",
    unit=Unit.TIMESTAMP,
)  # fmt: skip
EVENTS = counter(
    "fleet_broker_events_total",
    "Events by type (agent_events); those that only repeat an alert of the broker's have origin alert.",
    "type",
    "origin",
)
ERRORS = gauge("fleet_broker_unresolved_errors", "Unresolved errors by agent and type (error_logs).", "agent", "type")
TICKETS = gauge("fleet_broker_tickets", "Tickets by status (tickets).", "status")
OLDEST = gauge(
    "fleet_broker_oldest_pending_ticket_timestamp_seconds",
    "When the oldest pending ticket was made (tickets.created_at); absent where none is.",
    unit=Unit.TIMESTAMP,
)
OVERDUE = gauge(
    "fleet_broker_overdue_tickets", "Pending tickets that are older than their own timeout (tickets.timeout_ms)."
)
LATENCY = histogram(
    "fleet_broker_message_latency_seconds", "Time of a message to its agent (messages.latency_ms).", unit=Unit.SECONDS
)
METRICS: Final[tuple[Metric, ...]] = (
    AGENTS, AGENT, HEARTBEAT, INTERVAL, CPU, MEMORY, AGENT_TICKETS, AGENT_ERRORS, MEASURED, EVENTS, ERRORS, TICKETS, OLDEST,
    OVERDUE, LATENCY, registry.AGENTS,
)  # fmt: skip

_MIB = 1024 * 1024


def samples(broker: Broker) -> Iterable[Sample]:
    """Everything; what the file has no table for is absent, an empty table is 0."""
    yield from _agents(broker)
    for (kind, is_alert), number in broker.events.items():
        yield EVENTS(number, type=kind, origin="alert" if is_alert else "agent")
    for agent, kind, number in broker.errors:
        yield ERRORS(number, agent=agent, type=kind)
    if broker.tables["tickets"]:
        by_status = {PENDING: 0} | {tickets.status: tickets.number for tickets in broker.tickets}
        for status, number in by_status.items():
            yield TICKETS(number, status=status)
        pending = [tickets for tickets in broker.tickets if tickets.status == PENDING]
        yield OVERDUE(sum(tickets.overdue for tickets in pending))
        for tickets in pending:
            if tickets.oldest is not None:
                yield OLDEST(tickets.oldest)
    if broker.tables["messages"]:
        yield broker.latencies.sample(LATENCY, labels())


def _agents(broker: Broker) -> Iterable[Sample]:
    groups = Counter((agent.status, agent.type, agent.mode) for agent in broker.agents)
    for (status, kind, mode), number in groups.items():
        yield AGENTS(number, status=status, type=kind, mode=mode)
    for (kind, status), number in Counter((agent.type, agent.status) for agent in broker.agents).items():
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
        # An agent without a process writes 0 and 0, which is no measurement.
        measured = agent.pid is not None or bool(found.memory_mb)
        if measured and found.cpu_percent is not None:
            yield CPU.at(who, found.cpu_percent / 100)
        if measured and found.memory_mb is not None:
            yield MEMORY.at(who, found.memory_mb * _MIB)
        yield AGENT_TICKETS.at(who, found.tickets)
        yield AGENT_ERRORS.at(who, found.errors)
        if found.at is not None:
            yield MEASURED.at(who, found.at)


def agents_view(broker: Broker) -> list[dict[str, Any]]:
    """The broker's agents for the view that all systems share."""
    return [
        {
            "system": SYSTEM,
            "id": agent.id,
            "role": agent.type,
            "state": agent.status,
            "since": None,
            "task": None,
            "mode": agent.mode,
            "last_heard": timestamp(agent.heartbeat),
        }
        for agent in broker.agents
    ]
