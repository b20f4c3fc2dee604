"""The agent broker's database as its writer makes it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

# jscpd:ignore-start - the broker's tables with their defaults, of which the demo writes a part
SCHEMA = """
CREATE TABLE agents (agent_id TEXT PRIMARY KEY, type TEXT, status TEXT DEFAULT 'online', comm_mode TEXT, metadata JSON,
    heartbeat_interval_ms INTEGER DEFAULT 30000, last_heartbeat TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE tickets (ticket_id TEXT PRIMARY KEY, target_agent TEXT, origin_agent TEXT, payload TEXT, metadata TEXT,
    expect_reply INTEGER, timeout_ms INTEGER DEFAULT 30000, status TEXT DEFAULT 'pending', response TEXT, created_at TEXT,
    updated_at TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY, message_id TEXT, from_agent TEXT, to_agent TEXT, thread_id TEXT, payload TEXT,
    metadata TEXT, status TEXT DEFAULT 'sent', latency_ms INTEGER, timestamp TEXT);
CREATE TABLE agent_metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT,
    timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, cpu_percent REAL, memory_mb INTEGER, status TEXT, error_count INTEGER,
    message_count INTEGER);
CREATE TABLE agent_events (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT, event_type TEXT, message TEXT, metadata JSON,
    timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE error_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT, error_type TEXT, message TEXT,
    stack_trace TEXT, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, resolved BOOLEAN DEFAULT FALSE);
"""
# jscpd:ignore-end


@contextmanager
def broker(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.executescript(SCHEMA)
    try:
        yield connection
    finally:
        connection.close()


def insert(connection: sqlite3.Connection, table: str, **row: Any) -> None:
    names = ", ".join(row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # noqa: S608 - the test's own names


def text(ago: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%d %H:%M:%S")


def filled(connection: sqlite3.Connection) -> None:
    pid = json.dumps({"pid": 42, "role": "coder"})
    insert(connection, "agents", agent_id="a", type="claude", comm_mode="tmux", metadata=pid, last_heartbeat=text(10))
    insert(connection, "agents", agent_id="b", type="claude", comm_mode="tmux", metadata="{", last_heartbeat=None)
    insert(connection, "agent_metrics", agent_id="a", cpu_percent=10, memory_mb=100, error_count=0, message_count=1)
    insert(connection, "agent_metrics", agent_id="a", cpu_percent=85.5, memory_mb=512, error_count=2, message_count=7)
    insert(connection, "agent_metrics", agent_id="b", cpu_percent=0, memory_mb=0, error_count=0, message_count=0)
    insert(connection, "agent_metrics", agent_id="gone", cpu_percent=1, memory_mb=1, error_count=0, message_count=0)
    insert(connection, "agent_events", agent_id="a", event_type="started", message="up", metadata=None)
    insert(connection, "agent_events", agent_id="a", event_type="error", message="x", metadata="{}")
    insert(connection, "agent_events", agent_id="a", event_type="error", message="y", metadata='{"alertType": "cpu"}')
    insert(connection, "error_logs", agent_id="a", error_type="Timeout", message="m", resolved=0)
    insert(connection, "error_logs", agent_id="a", error_type="Timeout", message="m", resolved=1)
    insert(connection, "tickets", ticket_id="1", status="pending", created_at=text(100))
    insert(connection, "tickets", ticket_id="2", status="pending", created_at=text(5))
    insert(connection, "tickets", ticket_id="3", status="done", created_at=text(500))
    insert(connection, "messages", message_id="1", latency_ms=80)
    insert(connection, "messages", message_id="2", latency_ms=4000)
    insert(connection, "messages", message_id="3", latency_ms=None)
