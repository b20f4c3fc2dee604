"""Alert thresholds, which dashboards draw too. Times are in seconds, sizes in bytes, ratios from 0 to 1."""

from __future__ import annotations

from typing import Final

MINUTE, DAY = 60, 86400

# The fleet
RESPONSE_FAILURE_RATIO: Final = 0.5
RESPONSES_A_SECOND: Final = 0.01
"""Below this rate the failure ratio is not meaningful."""
DELIBERATION_TIMEOUTS: Final = 3
"""Timed-out deliberations of a role in 30 minutes."""
UNPARSED_MESSAGES: Final = 5
"""Unparseable messages in 15 minutes."""

# Error budgets
TASK_SUCCESS_TARGET: Final = 0.95
"""Target share of responses that do not fail. Below 0.94, a burn rate of 14.4 would exceed 100% of the responses."""
LATENCY_SECONDS: Final = 5.0
"""vLLM requests that take longer are slow; must be a bucket bound of vLLM's histogram."""
LATENCY_TARGET: Final = 0.95
"""Target share of requests that are not slow: p95 equals LATENCY_SECONDS if it is just met."""
LEAST_RESPONSES: Final = 20
"""Minimum responses in the long window: one failure in a quiet fleet must not page."""
LEAST_REQUESTS: Final = 50
"""Minimum vLLM requests in the long window."""

# NATS
CONSUMER_LAG: Final = 100
CONSUMER_PENDING: Final = 50
LONG_ACK_WAIT_SECONDS: Final = 5 * MINUTE
"""A consumer with a longer ack_wait may process one message for that long."""
REPEATED_DELIVERIES: Final = 2
"""Redeliveries in ten minutes."""
SOURCE_LAG: Final = 1000
"""Messages a mirror or source is behind."""
REDELIVERIES_A_SECOND: Final = 1.0
STREAM_FULL_RATIO: Final = 0.9
ACCOUNT_FULL_RATIO: Final = 0.85
RTT_SECONDS: Final = 1.0
EVENTS_BEHIND: Final = 1000
"""Messages of a stream that the exporter has not read or not forwarded to Loki."""

# Ray
RAY_JOB_NEWS_SECONDS: Final = 15 * MINUTE
"""How long a failed RayJob fires; KubeRay keeps it until it is deleted."""
RAY_JOB_PENDING_SECONDS: Final = 15 * MINUTE

# vLLM
VLLM_REQUESTS_A_SECOND: Final = 0.05
"""Below this rate p95 and the failure ratio are not meaningful."""
VLLM_WAITING: Final = 5
KV_CACHE_FULL_RATIO: Final = 0.95
VLLM_FAILURE_RATIO: Final = 0.1
VLLM_HTTP_ERROR_RATIO: Final = 0.05
PREEMPTIONS_A_SECOND: Final = 0.1

# Neo4j
GRAPH_SHRUNK_RATIO: Final = 0.9
"""Ratio to the maximum number of nodes in the last hour."""
GRAPH_NODES: Final = 100
"""Smaller graphs never fire."""

# ValKey
VALKEY_MEMORY_RATIO: Final = 0.9

# The agent broker
AGENT_CPU_WARNING, AGENT_CPU_CRITICAL = 0.80, 0.95
AGENT_MEMORY_WARNING, AGENT_MEMORY_CRITICAL = 1024 * 2**20, 2048 * 2**20
AGENT_ERRORS_WARNING, AGENT_ERRORS_CRITICAL = 5, 10
HEARTBEATS_MISSED: Final = 3

# Costs and the task board
BUDGET_NEARLY_SPENT: Final = 0.8
BUDGET_SPENT: Final = 1.0
TASK_STUCK_SECONDS: Final = 7 * DAY

# The exporter itself
EXPORTER_JOB: Final = ".*fleet-exporter.*"
"""Regular expression of the scrape job name; it matches the chart's ServiceMonitor and the examples."""
WATCHER_RESTARTS: Final = 3
"""Watcher restarts in one hour."""
