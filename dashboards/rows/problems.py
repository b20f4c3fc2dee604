"""Tables of stuck agents, consumers and RayJobs, worst first."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import BAD, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.panels import table
from dashboards.grafana.queries import PrometheusTarget, selector
from exporter.metrics.promql import like
from exporter.sources.fleet import samples as fleet
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.rayjob import jobs

_AGENT: Final = ("agent", "role")
_CONSUMER: Final = ("stream", "consumer")
_JOB: Final = ("namespace", "rayjob")
_MOST: Final = 20

_stuck = selector(fleet.AGENT_STATE, state=like("unresponsive|failed")).equals(1).max(*_AGENT)
_failed = selector(jobs.JOB_DEPLOYMENT, state=like("Failed|ValidationFailed|Retrying")).equals(1).max(*_JOB)
_lag = selector(nats_consumers.LAG).max(*_CONSUMER)

STUCK_AGENTS: Final = table(
    "Stuck agents",
    "Agents in state unresponsive or failed, and the time in that state, longest first (fleet_agent_state, "
    "fleet_agent_state_since_timestamp_seconds); empty if there are none.",
    _AGENT,
    [
        (
            FieldOverride("for", unit="s", width=90),
            PrometheusTarget(selector(fleet.AGENT_SINCE).age().max(*_AGENT).only_with(_stuck, *_AGENT)),
        )
    ],
    key_columns=[FieldOverride("agent", links=[Link("Agent", DashboardUid.AGENTS, {"agent": "agent", "role": "role"})])],
    sort="for",
    width=8,
    height=7,
)
LAGGING_CONSUMERS: Final = table(
    "Lagging consumers",
    "Consumers with undelivered or unacked messages, largest lag first, colored at the alert threshold "
    "(nats_consumer_lag); empty if there are none.",
    _CONSUMER,
    [
        (
            FieldOverride("lag", decimals=0, width=90, limits=[Threshold(thresholds.CONSUMER_LAG, WARN)]),
            PrometheusTarget((_lag > 0).highest(_MOST)),
        )
    ],
    key_columns=[
        FieldOverride(
            "consumer", links=[Link("Consumer", DashboardUid.COMMUNICATIONS, {"stream": "stream", "consumer": "consumer"})]
        )
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
            FieldOverride("attempts", decimals=0, width=90, limits=[Threshold(1, BAD)]),
            PrometheusTarget(selector(jobs.JOB_RETRIES).max(*_JOB).only_with(_failed, *_JOB)),
        ),
    ],
    key_columns=[
        FieldOverride(
            "rayjob", links=[Link("RayJob", DashboardUid.RAY_JOBS, {"namespace": "namespace", "rayjob": "rayjob"})]
        )
    ],
    sort="attempts",
    width=8,
    height=7,
)
