"""Agents of the agent broker, by the figures in its database."""

from __future__ import annotations

from typing import Final

from alerts.rule import COUNT, Component, Recording, Rule, Severity
from alerts.rules import sources
from alerts.thresholds import (
    AGENT_CPU_CRITICAL,
    AGENT_CPU_WARNING,
    AGENT_ERRORS_CRITICAL,
    AGENT_ERRORS_WARNING,
    AGENT_MEMORY_CRITICAL,
    AGENT_MEMORY_WARNING,
    HEARTBEATS_MISSED,
)
from alerts.view import View
from exporter.metrics.metric import Metric
from exporter.metrics.promql import series
from exporter.sources.broker import samples as broker


def _pair(
    metric: Metric, high: tuple[str, float, str, str], full: tuple[str, float, str, str], description: str
) -> tuple[Rule, Rule]:
    """Two thresholds of one figure, each as name, value, constant and summary: over the higher one only that is told."""
    figure = series(metric).max_over("2m")
    queries = ((figure >= high[1]) < full[1], figure >= full[1])
    limits = ((high[2], full[2]), (full[2],))
    severities = (Severity.WARNING, Severity.CRITICAL)
    warning, critical = (
        Rule(
            name=name,
            query=query,
            severity=severity,
            component=Component.BROKER,
            summary=summary,
            description=description,
            view=View.MONITORING,
            variables=("agent",),
            limits=names,
            lasting="2m",
        )
        for (name, _, _, summary), query, names, severity in zip((high, full), queries, limits, severities, strict=True)
    )
    return warning, critical


MISSED: Final = Recording(
    name="fleet:broker_agent_heartbeats:missed",
    query=(series(broker.HEARTBEAT).age() / series(broker.INTERVAL)).without("max"),
    meaning="Time since an agent's last heartbeat, in its own intervals.",
)
RECORDINGS: Final = (MISSED,)

RULES: Final[tuple[Rule, ...]] = (
    sources.down(
        "BrokerUnreadable", "broker", Component.BROKER, "The agent broker's database cannot be read", View.MONITORING,
        severity=Severity.WARNING,
    ),
    *_pair(
        broker.CPU,
        ("BrokerAgentCpuHigh", AGENT_CPU_WARNING, "AGENT_CPU_WARNING", "An agent uses much of a CPU"),
        ("BrokerAgentCpuFull", AGENT_CPU_CRITICAL, "AGENT_CPU_CRITICAL", "An agent uses all of a CPU"),
        "{{ $labels.agent }} has a CPU load of {{ $value | humanizePercentage }}.",
    ),
    *_pair(
        broker.MEMORY,
        ("BrokerAgentMemoryHigh", AGENT_MEMORY_WARNING, "AGENT_MEMORY_WARNING", "An agent uses much memory"),
        ("BrokerAgentMemoryFull", AGENT_MEMORY_CRITICAL, "AGENT_MEMORY_CRITICAL", "An agent uses too much memory"),
        "{{ $labels.agent }} uses {{ $value | humanize1024 }}B of memory.",
    ),
    *_pair(
        broker.AGENT_ERRORS,
        ("BrokerAgentErrors", AGENT_ERRORS_WARNING, "AGENT_ERRORS_WARNING", "An agent has unresolved errors"),
        ("BrokerAgentManyErrors", AGENT_ERRORS_CRITICAL, "AGENT_ERRORS_CRITICAL", "An agent has many unresolved errors"),
        f"Errors of {{{{ $labels.agent }}}} that nobody has resolved: {COUNT}.",
    ),
    Rule(
        name="BrokerHeartbeatMissed",
        query=series(broker.HEARTBEAT).age() > series(broker.INTERVAL) * HEARTBEATS_MISSED,
        severity=Severity.WARNING,
        component=Component.BROKER,
        summary="An agent has missed its heartbeats",
        description=f"{{{{ $labels.agent }}}} has not been heard of for {{{{ $value | humanizeDuration }}}}, more than "
        f"{HEARTBEATS_MISSED} of its own intervals.",
        view=View.MONITORING,
        variables=("agent",),
        limits=("HEARTBEATS_MISSED",),
        lasting="1m",
    ),
)  # fmt: skip
