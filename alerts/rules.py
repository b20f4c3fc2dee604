"""The alerts, and the thresholds that their panels draw. Each threshold is written here and nowhere else."""

from __future__ import annotations

from typing import Final

from alerts.rule import Rule, Severity
from exporter import scrape
from exporter.fleet import samples as fleet
from exporter.promql import is_not, series
from exporter.sources.broker import samples as broker
from exporter.sources.costs import ledger
from exporter.sources.jetstream import samples as jetstream
from exporter.sources.taskboard import samples as board
from exporter.sources.valkey import info as valkey
from exporter.sources.workloads import store as workloads

CONSUMER_LAG: Final = 100
CONSUMER_PENDING: Final = 50
RESPONSE_FAILURE_RATIO: Final = 0.5
RESPONSES_A_SECOND: Final = 0.01
"""Fewer answers than that say nothing about how many fail."""
AGENT_CPU_WARNING, AGENT_CPU_CRITICAL = 0.80, 0.95
AGENT_MEMORY_WARNING, AGENT_MEMORY_CRITICAL = 1024 * 2**20, 2048 * 2**20
AGENT_ERRORS_WARNING, AGENT_ERRORS_CRITICAL = 5, 10
HEARTBEATS_MISSED: Final = 3
BUDGET_SPENT: Final = 1.0
TASK_STUCK_SECONDS: Final = 7 * 86400

_LOAD = "a CPU load of {{ $value | humanizePercentage }}"
_BYTES = "{{ $value | humanize1024 }}B of memory"
_ERRORS = "{{ $value }} unresolved errors"

_lag = series(jetstream.LAG)
_failed = series(fleet.RESPONSES, outcome="failed").rate("15m").sum("role")
_answered = series(fleet.RESPONSES).rate("15m").sum("role")

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="FleetSourceDown",
        query=series(scrape.UP).equals(0),
        severity=Severity.CRITICAL,
        component="exporter",
        summary="{{ $labels.source }} {{ $labels.server }} cannot be read",
        description="Every series of this source is missing; fleet_exporter_source_failure names the reason.",
        lasting="2m",
    ),
    Rule(
        name="NatsConsumerLagging",
        query=_lag >= CONSUMER_LAG,
        severity=Severity.WARNING,
        component="nats",
        summary="{{ $labels.consumer }} is {{ $value }} messages behind on {{ $labels.stream }}",
        description=f"Messages not delivered or not acknowledged have been {CONSUMER_LAG} or more for five minutes.",
        lasting="5m",
    ),
    Rule(
        name="NatsConsumerPending",
        query=series(jetstream.PENDING) >= CONSUMER_PENDING,
        severity=Severity.WARNING,
        component="nats",
        summary="{{ $value }} messages wait for {{ $labels.consumer }} on {{ $labels.stream }}",
        description=f"Messages not delivered yet have been {CONSUMER_PENDING} or more for five minutes.",
        lasting="5m",
    ),
    Rule(
        name="NatsConsumerStalled",
        query=(_lag > 0) & series(jetstream.ACKNOWLEDGED).increase("10m").equals(0),
        severity=Severity.CRITICAL,
        component="nats",
        summary="{{ $labels.consumer }} on {{ $labels.stream }} acknowledges nothing",
        description="It has messages to deal with, and its acknowledgement floor has not moved for ten minutes.",
        lasting="10m",
    ),
    Rule(
        name="NatsStreamMissing",
        query=series(jetstream.EXPECTED_STREAM).equals(0),
        severity=Severity.CRITICAL,
        component="nats",
        summary="the stream {{ $labels.stream }} is missing",
        description="A stream that the configuration expects is not there; what is published for it is lost.",
        lasting="1m",
    ),
    Rule(
        name="FleetAgentUnresponsive",
        query=series(fleet.AGENT_STATE, state="unresponsive").equals(1),
        severity=Severity.WARNING,
        component="fleet",
        summary="{{ $labels.agent }} does not answer",
        description="Its council was asked, others have answered, and it has not for 30 seconds.",
    ),
    Rule(
        name="FleetAgentsFailing",
        query=(_failed / _answered > RESPONSE_FAILURE_RATIO) & (_answered > RESPONSES_A_SECOND),
        severity=Severity.WARNING,
        component="fleet",
        summary="{{ $value | humanizePercentage }} of the answers of {{ $labels.role }} agents fail",
        description="More than half of the answers of fifteen minutes have failed, and there were enough to tell.",
        lasting="5m",
    ),
    Rule(
        name="FleetCouncilIncomplete",
        query=series(fleet.COUNCIL_AGENTS) < series(fleet.COUNCIL_EXPECTED),
        severity=Severity.WARNING,
        component="fleet",
        summary="the {{ $labels.role }} council has {{ $value }} agents, fewer than its tasks are given to",
        description="Agents that its tasks are given to have not been heard of.",
        lasting="10m",
    ),
    Rule(
        name="WorkloadDown",
        query=series(workloads.EXPECTED, state=is_not("up")).max("namespace", "workload").equals(1),
        severity=Severity.CRITICAL,
        component="kubernetes",
        summary="{{ $labels.namespace }}/{{ $labels.workload }} is not up",
        description="A workload that the configuration expects has pods that are not ready, or no pod at all.",
        lasting="5m",
    ),
    Rule(
        name="PodCrashLooping",
        query=series(workloads.WAITING, reason="CrashLoopBackOff") > 0,
        severity=Severity.WARNING,
        component="kubernetes",
        summary="{{ $labels.namespace }}/{{ $labels.workload }} starts and fails again and again",
        description="A container waits in CrashLoopBackOff.",
        lasting="5m",
    ),
    Rule(
        name="ValkeyEvicting",
        query=series(valkey.EVICTED).rate("10m") > 0,
        severity=Severity.CRITICAL,
        component="valkey",
        summary="{{ $labels.server }} throws away keys for lack of memory",
        description="The fleet keeps data there that is nowhere else.",
    ),
    Rule(
        name="BudgetSpent",
        query=series(ledger.BUDGET_SPENT) >= BUDGET_SPENT,
        severity=Severity.WARNING,
        component="costs",
        summary="the budget of the {{ $labels.period }} is spent",
        description="The ledger's cost has reached the budget that the configuration sets.",
    ),
    Rule(
        name="TaskFilesUnreadable",
        query=series(board.UNREADABLE) > 0,
        severity=Severity.WARNING,
        component="board",
        summary="{{ $value }} task files are no tasks ({{ $labels.reason }})",
        description="The API's /api/tasks lists them with their paths.",
        lasting="5m",
    ),
    Rule(
        name="TaskStuck",
        query=series(board.OLDEST, column=is_not("done")).age() > TASK_STUCK_SECONDS,
        severity=Severity.INFO,
        component="board",
        summary="a task has been in {{ $labels.column }} for {{ $value | humanizeDuration }}",
        description="The oldest task that is not done was created more than a week ago.",
    ),
    *(
        Rule(
            name=f"BrokerAgent{what}",
            query=series(metric) >= threshold,
            severity=severity,
            component="broker",
            summary=f"{{{{ $labels.agent }}}} has {words}",
            description="The agent broker's latest figures say so.",
            lasting="2m",
        )
        for what, metric, threshold, severity, words in (
            ("CpuHigh", broker.CPU, AGENT_CPU_WARNING, Severity.WARNING, _LOAD),
            ("CpuFull", broker.CPU, AGENT_CPU_CRITICAL, Severity.CRITICAL, _LOAD),
            ("MemoryHigh", broker.MEMORY, AGENT_MEMORY_WARNING, Severity.WARNING, _BYTES),
            ("MemoryFull", broker.MEMORY, AGENT_MEMORY_CRITICAL, Severity.CRITICAL, _BYTES),
            ("Errors", broker.AGENT_ERRORS, AGENT_ERRORS_WARNING, Severity.WARNING, _ERRORS),
            ("ManyErrors", broker.AGENT_ERRORS, AGENT_ERRORS_CRITICAL, Severity.CRITICAL, _ERRORS),
        )
    ),
    Rule(
        name="BrokerHeartbeatMissed",
        query=series(broker.HEARTBEAT).age() > series(broker.INTERVAL) * HEARTBEATS_MISSED,
        severity=Severity.WARNING,
        component="broker",
        summary="{{ $labels.agent }} has not been heard of for {{ $value | humanizeDuration }}",
        description=f"It has missed {HEARTBEATS_MISSED} of its own heartbeats.",
        lasting="1m",
    ),
)
