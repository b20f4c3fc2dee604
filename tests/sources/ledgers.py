"""A cost ledger as its writer makes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

INVOCATIONS = """
CREATE TABLE invocations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, invocation_id TEXT NOT NULL UNIQUE,
    timestamp TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, agent_name TEXT, tool_name TEXT NOT NULL, model_name TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, cost_usd REAL, latency_ms INTEGER,
    status TEXT, error_message TEXT, privacy_level TEXT
);
CREATE INDEX by_time ON invocations (timestamp);
"""
LABELS = 'model="m",tool="chat",agent="coder",status="success"'
"""Of the row that `invoke` adds by default."""


@contextmanager
def writer(path: Path, *, wal: bool = False) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    if wal:
        connection.execute("PRAGMA journal_mode = wal")
    connection.executescript("" if connection.execute("SELECT 1 FROM sqlite_master").fetchone() else INVOCATIONS)
    try:
        yield connection
    finally:
        connection.close()


def invoke(connection: sqlite3.Connection, number: int, **more: Any) -> None:
    """One row, with values that a test cares about in `more`."""
    row = {
        "invocation_id": f"i-{number}",
        "timestamp": datetime.now(UTC).isoformat(),
        "agent_name": "coder",
        "tool_name": "chat",
        "model_name": "m",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": 0.5,
        "latency_ms": 300,
        "status": "success",
        **more,
    }
    names = ", ".join(row)
    connection.execute(f"INSERT INTO invocations ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # noqa: S608 - the test's own names
