"""Tables of what is stuck now, worst first: agents, consumers, RayJobs."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.view import View
from dashboards.grafana.fields import BAD, WARN, Column, Limit, Link
from dashboards.grafana.panels import table
from dashboards.grafana.queries import Line, shown
from exporter.metrics.promql import like
from exporter.sources.fleet import samples as fleet
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.rayjob import jobs

_AGENT: Final = ("agent", "role")
_CONSUMER: Final = ("stream", "consumer")
_JOB: Final = ("namespace", "rayjob")
_MOST: Final = 20

_stuck = shown(fleet.AGENT_STATE, state=like("unresponsive|failed")).equals(1).max(*_AGENT)
_failed = shown(jobs.JOB_DEPLOYMENT, state=like("Failed|ValidationFailed|Retrying")).equals(1).max(*_JOB)
_lag = shown(nats_consumers.LAG).max(*_CONSUMER)

STUCK_AGENTS: Final = table(
    "Stuck agents",
    "Agents in state unresponsive or failed, and the time in that state, longest first (fleet_agent_state, "
    "fleet_agent_state_since_timestamp_seconds); empty if there are none.",
    _AGENT,
    [(Column("for", unit="s", width=90), Line(shown(fleet.AGENT_SINCE).age().max(*_AGENT).only_with(_stuck, *_AGENT)))],
    key_columns=[Column("agent", links=[Link("Agent", View.AGENTS, {"agent": "agent", "role": "role"})])],
    sort="for",
    width=8,
    height=7,
)
LAGGING_CONSUMERS: Final = table(
    "Lagging consumers",
    "Consumers with undelivered or unacked messages, largest lag first, colored at the alert threshold "
    "(nats_consumer_lag); empty if there are none.",
    _CONSUMER,
    [(Column("lag", decimals=0, width=90, limits=[Limit(thresholds.CONSUMER_LAG, WARN)]), Line((_lag > 0).highest(_MOST)))],
    key_columns=[
        Column("consumer", links=[Link("Consumer", View.COMMUNICATIONS, {"stream": "stream", "consumer": "consumer"})])
    ],
    sort="lag",
    width=8,
    height=7,
)
FAILED_JOBS: Final = table(
    "Failed RayJobs",
    "Existing RayJobs that failed, are invalid or are being retried, and their failed attempts, most first "
    "(ray_job_deployment_status, ray_job_failed_attempts); empty if there are none.",
    _JOB,
    [
        (
            Column("attempts", decimals=0, width=90, limits=[Limit(1, BAD)]),
            Line(shown(jobs.JOB_RETRIES).max(*_JOB).only_with(_failed, *_JOB)),
        ),
    ],
    key_columns=[Column("rayjob", links=[Link("RayJob", View.RAY_JOBS, {"namespace": "namespace", "rayjob": "rayjob"})])],
    sort="attempts",
    width=8,
    height=7,
)
