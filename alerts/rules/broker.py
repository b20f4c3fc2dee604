"""The agent broker and its agents."""

from __future__ import annotations

from typing import Final, NamedTuple

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


class _Level(NamedTuple):
    name: str
    threshold: float
    limit: str
    """The threshold's constant."""
    summary: str
    catches: str


def _pair(metric: Metric, high: _Level, worse: _Level, description: str) -> tuple[AlertingRule, AlertingRule]:
    """A warning and a critical alert on one metric, never both at once."""
    figure = series(metric).max_over("2m")
    queries = ((figure >= high.threshold) < worse.threshold, figure >= worse.threshold)
    limits = ((high.limit, worse.limit), (worse.limit,))
    severities = (Severity.WARNING, Severity.CRITICAL)
    warning, critical = (
        AlertingRule(
            name=level.name,
            query=query,
            severity=severity,
            component=Component.BROKER,
            summary=level.summary,
            catches=level.catches,
            description=description,
            view=DashboardUid.MONITORING,
            variables=("agent",),
            limits=names,
            for_="2m",
        )
        for level, query, names, severity in zip((high, worse), queries, limits, severities, strict=True)
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
        catches="A broker database that was moved or locked; agents' heartbeats are not checked.",
    ),
    *_pair(
        broker.CPU,
        _Level(
            "BrokerAgentCpuHigh", AGENT_CPU_WARNING, "AGENT_CPU_WARNING", "Agent has high CPU usage",
            "An agent that is near the limit of its core, before its heartbeats are late.",
        ),
        _Level(
            "BrokerAgentCpuCritical", AGENT_CPU_CRITICAL, "AGENT_CPU_CRITICAL", "Agent uses a full CPU core",
            "An agent in a busy loop: it uses a full core and finishes nothing.",
        ),
        "{{ $labels.agent }} uses {{ $value | humanizePercentage }} of a CPU core.",
    ),
    *_pair(
        broker.MEMORY,
        _Level(
            "BrokerAgentMemoryHigh", AGENT_MEMORY_WARNING, "AGENT_MEMORY_WARNING", "Agent has high memory usage",
            "An agent that leaks memory, hours before the system kills it.",
        ),
        _Level(
            "BrokerAgentMemoryFull", AGENT_MEMORY_CRITICAL, "AGENT_MEMORY_CRITICAL", "Agent memory usage is critical",
            "An agent that is about to be killed for its memory, with its tasks in progress.",
        ),
        "{{ $labels.agent }} uses {{ $value | humanize1024 }}B of memory.",
    ),
    *_pair(
        broker.AGENT_ERRORS,
        _Level(
            "BrokerAgentErrors", AGENT_ERRORS_WARNING, "AGENT_ERRORS_WARNING", "Agent has unresolved errors",
            "An agent whose errors no one resolves.",
        ),
        _Level(
            "BrokerAgentManyErrors", AGENT_ERRORS_CRITICAL, "AGENT_ERRORS_CRITICAL", "Agent has many unresolved errors",
            "An agent that fails repeatedly at the same step while its heartbeats continue.",
        ),
        f"{{{{ $labels.agent }}}} has {COUNT} unresolved errors.",
    ),
    AlertingRule(
        name="BrokerHeartbeatMissed",
        query=series(broker.HEARTBEAT).age() > series(broker.INTERVAL) * HEARTBEATS_MISSED,
        severity=Severity.WARNING,
        component=Component.BROKER,
        summary="Agent has missed heartbeats",
        catches="An agent process that died or hangs on a host that no other source watches.",
        description=f"{{{{ $labels.agent }}}} sent its last heartbeat {{{{ $value | humanizeDuration }}}} ago, more than "
        f"{HEARTBEATS_MISSED} intervals.",
        view=DashboardUid.MONITORING,
        variables=("agent",),
        limits=("HEARTBEATS_MISSED",),
        for_="1m",
    ),
)  # fmt: skip
