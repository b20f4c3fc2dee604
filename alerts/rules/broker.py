"""The agent broker and its agents."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, RecordingRule, Severity
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
from exporter.metrics.metric import Metric
from exporter.metrics.promql import series
from exporter.sources.broker import samples as broker


def _pair(
    metric: Metric, high: tuple[str, float, str, str], worse: tuple[str, float, str, str], description: str
) -> tuple[AlertingRule, AlertingRule]:
    """A warning and a critical alert on one metric, each as name, threshold, constant and summary; never both at once."""
    figure = series(metric).max_over("2m")
    queries = ((figure >= high[1]) < worse[1], figure >= worse[1])
    limits = ((high[2], worse[2]), (worse[2],))
    severities = (Severity.WARNING, Severity.CRITICAL)
    warning, critical = (
        AlertingRule(
            name=name,
            query=query,
            severity=severity,
            component=Component.BROKER,
            summary=summary,
            description=description,
            view=DashboardUid.MONITORING,
            variables=("agent",),
            limits=names,
            for_="2m",
        )
        for (name, _, _, summary), query, names, severity in zip((high, worse), queries, limits, severities, strict=True)
    )
    return warning, critical


MISSED: Final = RecordingRule(
    name="fleet:broker_agent_heartbeats:missed",
    query=(series(broker.HEARTBEAT).age() / series(broker.INTERVAL)).without("max"),
    meaning="Time since an agent's last heartbeat, in heartbeat intervals.",
)
RECORDINGS: Final = (MISSED,)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "BrokerUnreadable", "broker", Component.BROKER, "Agent broker database cannot be read", DashboardUid.MONITORING,
        severity=Severity.WARNING,
    ),
    *_pair(
        broker.CPU,
        ("BrokerAgentCpuHigh", AGENT_CPU_WARNING, "AGENT_CPU_WARNING", "Agent has high CPU usage"),
        ("BrokerAgentCpuCritical", AGENT_CPU_CRITICAL, "AGENT_CPU_CRITICAL", "Agent uses a full CPU core"),
        "{{ $labels.agent }} uses {{ $value | humanizePercentage }} of a CPU core.",
    ),
    *_pair(
        broker.MEMORY,
        ("BrokerAgentMemoryHigh", AGENT_MEMORY_WARNING, "AGENT_MEMORY_WARNING", "Agent has high memory usage"),
        ("BrokerAgentMemoryFull", AGENT_MEMORY_CRITICAL, "AGENT_MEMORY_CRITICAL", "Agent memory usage is critical"),
        "{{ $labels.agent }} uses {{ $value | humanize1024 }}B of memory.",
    ),
    *_pair(
        broker.AGENT_ERRORS,
        ("BrokerAgentErrors", AGENT_ERRORS_WARNING, "AGENT_ERRORS_WARNING", "Agent has unresolved errors"),
        ("BrokerAgentManyErrors", AGENT_ERRORS_CRITICAL, "AGENT_ERRORS_CRITICAL", "Agent has many unresolved errors"),
        f"{{{{ $labels.agent }}}} has {COUNT} unresolved errors.",
    ),
    AlertingRule(
        name="BrokerHeartbeatMissed",
        query=series(broker.HEARTBEAT).age() > series(broker.INTERVAL) * HEARTBEATS_MISSED,
        severity=Severity.WARNING,
        component=Component.BROKER,
        summary="Agent has missed heartbeats",
        description=f"{{{{ $labels.agent }}}} sent its last heartbeat {{{{ $value | humanizeDuration }}}} ago, more than "
        f"{HEARTBEATS_MISSED} intervals.",
        view=DashboardUid.MONITORING,
        variables=("agent",),
        limits=("HEARTBEATS_MISSED",),
        for_="1m",
    ),
)  # fmt: skip
