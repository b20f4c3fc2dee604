"""UIDs of the Grafana dashboards that alerts link to."""

from __future__ import annotations

from enum import StrEnum


class DashboardUid(StrEnum):
    """A dashboard's uid: `/d/<uid>` opens it."""

    OVERVIEW = "fleet-overview"
    AGENTS = "fleet-agents"
    EVENTS = "fleet-events"
    RAY_JOBS = "fleet-ray-jobs"
    VLLM = "fleet-vllm"
    GRAPH = "fleet-knowledge-graph"
    VALKEY = "fleet-valkey"
    COMMUNICATIONS = "fleet-communications"
    STORIES = "fleet-stories"
    BOARD = "fleet-board-costs"
    MONITORING = "fleet-agent-monitoring"
    EXPORTER = "fleet-exporter"
