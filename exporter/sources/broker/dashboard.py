"""What the broker's own dashboard shows, for the API, in the shape it has there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.clients.sqlite import Reading

_EVENTS, _AGENT_EVENTS, _AGENT_ERRORS, _FIGURES = 20, 50, 20, 5000

_AGENT = ("agentId", "type", "status", "commMode", "lastHeartbeat")
_METRICS = ("timestamp", "cpuPercent", "memoryMb", "status", "errorCount", "messageCount")
_EVENT = ("agentId", "eventType", "message", "timestamp")
_ERROR = ("errorType", "message", "timestamp", "resolved")

_AGENTS_QUERY = "SELECT agent_id, type, status, comm_mode, last_heartbeat FROM agents ORDER BY agent_id LIMIT 1000"
_LATEST_QUERY = """SELECT timestamp, cpu_percent, memory_mb, status, error_count, message_count FROM agent_metrics
    WHERE agent_id = ? ORDER BY timestamp DESC, id DESC LIMIT 1"""
_EVENTS_QUERY = "SELECT agent_id, event_type, message, timestamp FROM agent_events ORDER BY id DESC LIMIT ?"
_ERRORS_QUERY = "SELECT agent_id, COUNT(*) FROM error_logs WHERE NOT resolved GROUP BY agent_id"
_HOURS_QUERY = """SELECT timestamp, cpu_percent, memory_mb, status, error_count, message_count FROM agent_metrics
    WHERE agent_id = ? AND timestamp > datetime('now', ?) ORDER BY timestamp DESC LIMIT ?"""
_AGENT_EVENTS_QUERY = """SELECT agent_id, event_type, message, timestamp FROM agent_events
    WHERE agent_id = ? ORDER BY id DESC LIMIT ?"""
_AGENT_ERRORS_QUERY = """SELECT error_type, message, timestamp, resolved FROM error_logs
    WHERE agent_id = ? ORDER BY id DESC LIMIT ?"""


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


def agent(reading: Reading, name: str, hours: float) -> dict[str, Any] | None:
    """{agentId, metrics of the last hours, events, errors}; None for an agent that is not known."""
    if reading.value("SELECT 1 FROM agents WHERE agent_id = ?", (name,)) is None:
        return None
    return {
        "agentId": name,
        "metrics": _named(_METRICS, reading.rows(_HOURS_QUERY, (name, f"-{hours * 3600:.0f} seconds", _FIGURES))),
        "events": _named(_EVENT, reading.rows(_AGENT_EVENTS_QUERY, (name, _AGENT_EVENTS))),
        "errors": _named(_ERROR, reading.rows(_AGENT_ERRORS_QUERY, (name, _AGENT_ERRORS))),
    }
