"""The data of the broker's own dashboard, in its shape, for the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.clients.sqlite import Reading
from exporter.metrics.timestamps import instant
from exporter.sources.broker.tables import UNRESOLVED

_EVENTS, _AGENT_EVENTS, _AGENT_ERRORS, _FIGURES, _LATEST = 20, 50, 20, 5000, 25_000

_AGENT = ("agentId", "type", "status", "commMode", "lastHeartbeat")
_METRICS = ("timestamp", "cpuPercent", "memoryMb", "status", "errorCount", "messageCount")
_EVENT = ("agentId", "eventType", "message", "timestamp")
_ERROR = ("errorType", "message", "timestamp", "resolved")

_AGENTS_QUERY = "SELECT agent_id, type, status, comm_mode, last_heartbeat FROM agents ORDER BY agent_id LIMIT 1000"
_LATEST_QUERY = """SELECT timestamp, cpu_percent, memory_mb, status, error_count, message_count FROM agent_metrics
    WHERE agent_id = ? ORDER BY rowid DESC LIMIT 1"""
_EVENTS_QUERY = "SELECT agent_id, event_type, message, timestamp FROM agent_events ORDER BY rowid DESC LIMIT ?"
_ERRORS_QUERY = f"SELECT agent_id, COUNT(*) FROM error_logs WHERE {UNRESOLVED} GROUP BY agent_id"  # noqa: S608 - constants of this program
_FIGURES_QUERY = """SELECT timestamp, cpu_percent, memory_mb, status, error_count, message_count FROM agent_metrics
    WHERE agent_id = ? ORDER BY rowid DESC LIMIT ?"""
_AGENT_EVENTS_QUERY = """SELECT agent_id, event_type, message, timestamp FROM agent_events
    WHERE agent_id = ? ORDER BY rowid DESC LIMIT ?"""
_AGENT_ERRORS_QUERY = """SELECT error_type, message, timestamp, resolved FROM error_logs
    WHERE agent_id = ? ORDER BY rowid DESC LIMIT ?"""


def _named(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def dashboard(reading: Reading) -> dict[str, Any]:
    """{agents with their latest metrics, recentEvents, activeErrors}."""
    agents = []
    for row in reading.rows(_AGENTS_QUERY):
        latest = _named(_METRICS, reading.rows(_LATEST_QUERY, (row[0],)))
        agents.append(dict(zip(_AGENT, row, strict=True)) | {"metrics": latest[0] if latest else None})
    errors = [{"agentId": agent, "count": count} for agent, count in reading.rows(_ERRORS_QUERY)]
    return {
        "agents": agents,
        "recentEvents": _named(_EVENT, reading.rows(_EVENTS_QUERY, (_EVENTS,))),
        "activeErrors": errors,
    }


def agent(reading: Reading, name: str, since: float) -> dict[str, Any] | None:
    """{agentId, metrics since a time, events, errors}; None for an unknown agent. `since`: seconds since 1970."""
    if reading.value("SELECT 1 FROM agents WHERE agent_id = ?", (name,)) is None:
        return None
    rows = reading.rows(_FIGURES_QUERY, (name, _LATEST))
    recent = [row for row in rows if (instant(row[0])[0] or 0.0) > since][:_FIGURES]
    return {
        "agentId": name,
        "metrics": _named(_METRICS, recent),
        "events": _named(_EVENT, reading.rows(_AGENT_EVENTS_QUERY, (name, _AGENT_EVENTS))),
        "errors": _named(_ERROR, reading.rows(_AGENT_ERRORS_QUERY, (name, _AGENT_ERRORS))),
    }
