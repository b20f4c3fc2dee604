"""States recorded as numbers: a state panel reads one series per object instead of six or eleven."""

from __future__ import annotations

from typing import Final

from alerts.rule import RecordingRule
from exporter.metrics.metric import Metric
from exporter.metrics.promql import places, series
from exporter.sources.fleet import samples as fleet
from exporter.sources.rayjob import jobs


def _places(name: str, metric: Metric, thing: str) -> RecordingRule:
    return RecordingRule(
        name=name,
        query=places([series(metric, state=state) for state in metric.states]).without("max", "state"),
        meaning=f"State of each {thing}: its position, from 1, in {', '.join(metric.states)}.",
    )


AGENTS: Final = _places("fleet:agent_state:place", fleet.AGENT_STATE, "agent")
RAY_JOBS: Final = _places("fleet:ray_job_deployment_status:place", jobs.JOB_DEPLOYMENT, "RayJob")
RECORDINGS: Final = (AGENTS, RAY_JOBS)
