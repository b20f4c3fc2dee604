"""Every threshold of an alert, by name: dashboards draw the same one. Times are seconds, sizes bytes, shares 0 to 1."""

from __future__ import annotations

from typing import Final

MINUTE, HOUR, DAY = 60, 3600, 86400

# The fleet
RESPONSE_FAILURE_RATIO: Final = 0.5
RESPONSES_A_SECOND: Final = 0.01
"""Fewer answers than that say nothing about how many fail."""
DELIBERATION_SECONDS: Final = 4 * MINUTE
"""The orchestrator, and the exporter unless it is told otherwise, give a deliberation up after five minutes."""
DELIBERATION_TIMEOUTS: Final = 3
"""Deliberations of a role that ran out of time, in half an hour."""
UNPARSED_MESSAGES: Final = 5
"""Messages that are no events, in a quarter of an hour."""

# Error budgets
TASK_SUCCESS_TARGET: Final = 0.95
"""Share of the agents' answers that do not fail. Under 0.94 a burn rate of 14.4 would be more than every answer."""
LATENCY_SECONDS: Final = 5.0
"""A request to vLLM that takes longer is slow; vLLM's histogram has a bucket that ends here."""
LATENCY_TARGET: Final = 0.95
"""Share of the requests that are not slow: the 95th percentile is LATENCY_SECONDS when it is just met."""
LEAST_ANSWERS: Final = 20
"""Fewer answers in the long window do not spend a budget, however many fail: a quiet fleet is not paged for one of them."""
LEAST_REQUESTS: Final = 50
"""The same for requests to vLLM."""

# NATS
CONSUMER_LAG: Final = 100
CONSUMER_PENDING: Final = 50
LONG_ACK_WAIT_SECONDS: Final = 5 * MINUTE
"""A consumer with a longer ack_wait may work on one message for as long as that."""
REPEATED_DELIVERIES: Final = 2
"""Redeliveries in ten minutes."""
SOURCE_LAG: Final = 1000
"""Messages a mirror or source is behind."""
REDELIVERIES_A_SECOND: Final = 1.0
STREAM_FULL_RATIO: Final = 0.9
ACCOUNT_FULL_RATIO: Final = 0.85
RTT_SECONDS: Final = 1.0
EVENTS_BEHIND: Final = 1000
"""Messages of a stream that the exporter has not read yet, or not copied to Loki yet."""

# Ray
RAY_JOB_NEWS_SECONDS: Final = 15 * MINUTE
"""A failed RayJob is told of for so long, and then kept in silence."""
RAY_JOB_PENDING_SECONDS: Final = 15 * MINUTE

# vLLM
VLLM_REQUESTS_A_SECOND: Final = 0.05
"""Fewer requests than that say nothing about their 95th percentile or how many fail."""
VLLM_WAITING: Final = 5
KV_CACHE_FULL_RATIO: Final = 0.95
VLLM_FAILURE_RATIO: Final = 0.1
VLLM_HTTP_ERROR_RATIO: Final = 0.05
PREEMPTIONS_A_SECOND: Final = 0.1

# Neo4j
GRAPH_SHRUNK_RATIO: Final = 0.9
"""Of the nodes there were at most in the last hour."""
GRAPH_NODES: Final = 100
"""A graph that never had so many in that hour may shrink as it likes."""

# ValKey
VALKEY_MEMORY_RATIO: Final = 0.9
HIT_RATIO: Final = 0.5
LOOKUPS_A_SECOND: Final = 1.0
"""Fewer lookups than that say nothing about how many hit."""

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
"""Regular expression of the scrape job's name; the chart's ServiceMonitor and the examples keep to it."""
FOLLOWER_RESTARTS: Final = 3
"""Restarts of what follows a backend, in an hour."""
