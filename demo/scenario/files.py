"""Simulated systems that are files: a task board in YAML, a cost ledger and an agent broker in SQLite."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.scenario.fleet import Step

LEDGER_SCHEMA = """
CREATE TABLE invocations (id INTEGER PRIMARY KEY AUTOINCREMENT, invocation_id TEXT UNIQUE, timestamp TEXT, agent_name TEXT,
    tool_name TEXT, model_name TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, cost_usd REAL,
    latency_ms INTEGER, status TEXT, error_message TEXT, privacy_level TEXT);
"""
BROKER_SCHEMA = """
CREATE TABLE agents (agent_id TEXT PRIMARY KEY, type TEXT, status TEXT, comm_mode TEXT, metadata JSON,
    heartbeat_interval_ms INTEGER, last_heartbeat TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE tickets (ticket_id TEXT PRIMARY KEY, target_agent TEXT, origin_agent TEXT, payload TEXT, metadata TEXT,
    expect_reply INTEGER, timeout_ms INTEGER, status TEXT, response TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY, message_id TEXT, from_agent TEXT, to_agent TEXT, thread_id TEXT,
    payload TEXT, metadata TEXT, status TEXT, latency_ms INTEGER, timestamp TEXT);
CREATE TABLE agent_metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT,
    timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, cpu_percent REAL, memory_mb INTEGER, status TEXT, error_count INTEGER,
    message_count INTEGER);
CREATE INDEX agent_metrics_by_agent ON agent_metrics (agent_id, timestamp);
CREATE TABLE agent_events (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT, event_type TEXT, message TEXT,
    metadata JSON, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE error_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT, error_type TEXT, message TEXT,
    stack_trace TEXT, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, resolved BOOLEAN DEFAULT FALSE);
"""
_PRICE = 0.000_002
"""US dollars per token, invented."""


def _now() -> str:
    return datetime.now(UTC).isoformat()


class BoardWriter:
    """Tasks move from inbox to assigned to done; one in five has a status that contradicts its folder."""

    AGENTS = ("backend", "frontend", "writer")
    _KEPT = 30

    def __init__(self, root: Path) -> None:
        self.root = root
        self._random = random.Random(3)
        self._numbers = itertools.count(1)
        self._tasks: deque[tuple[str, dict[str, str], str]] = deque()
        self._done: deque[Path] = deque()
        for folder in ("inbox", *(f"{column}/{agent}" for column in ("assigned", "done") for agent in self.AGENTS)):
            (root / folder).mkdir(parents=True)

    def send(self, step: Step) -> None:
        if not step.task:
            return
        if len(self._tasks) < 5 or self._random.random() < 0.4:
            self._create()
        else:
            self._move_on()

    def _create(self) -> None:
        agent = self._random.choice(self.AGENTS)
        number = next(self._numbers)
        name = f"{datetime.now(UTC):%Y-%m-%dT%H%M}-{agent}-task-{number}"
        created = datetime.now(UTC) - timedelta(minutes=self._random.randint(5, 500))
        fields = {
            "id": name,
            "agent": agent,
            "status": "new",
            "title": f"Task {number}",
            "priority": self._random.choice(("critical", "HIGH", "medium", "low")),
            "created_at": created.isoformat(),
            "estimated_hours": str(self._random.randint(1, 8)),
        }
        self._write(self.root / "inbox" / f"{name}.yaml", fields)
        self._tasks.append(("inbox", fields, agent))

    def _move_on(self) -> None:
        column, fields, agent = self._tasks.popleft()
        old = self.root / ("inbox" if column == "inbox" else f"{column}/{agent}") / f"{fields['id']}.yaml"
        if column == "inbox":
            fields |= {"status": "assigned", "assigned_at": _now()}
            self._tasks.append(("assigned", fields, agent))
            new = self.root / "assigned" / agent / old.name
        else:
            fields |= {"completed_at": _now()} | ({"status": "done"} if self._random.random() > 0.2 else {})
            new = self.root / "done" / agent / old.name
            self._done.append(new)
        old.rename(new)
        self._write(new, fields)
        while len(self._done) > self._KEPT:
            self._done.popleft().unlink()

    @staticmethod
    def _write(file: Path, fields: dict[str, str]) -> None:
        temporary = file.with_suffix(".tmp")
        temporary.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items()))
        temporary.rename(file)


class LedgerWriter:
    """A row per response, with its tokens and cost."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with sqlite3.connect(file) as connection:
            connection.executescript(LEDGER_SCHEMA)
        connection.close()

    def send(self, step: Step) -> None:
        rows = [
            (
                str(uuid.uuid4()), _now(), response.agent, "chat", "Qwen3-0.6B", response.prompt_tokens, response.tokens,
                response.prompt_tokens + response.tokens, (response.prompt_tokens + response.tokens) * _PRICE,
                int(response.seconds * 1000), "error" if response.failed else "success",
            )
            for response in step.responses
        ]  # fmt: skip
        if not rows:
            return
        names = "invocation_id, timestamp, agent_name, tool_name, model_name, prompt_tokens, completion_tokens, total_tokens"
        with sqlite3.connect(self._file) as connection:
            connection.executemany(  # the names are the constant above
                f"INSERT INTO invocations ({names}, cost_usd, latency_ms, status) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - the demo's own columns
                rows,
            )
        connection.close()


class BrokerWriter:
    """Three agents with heartbeats and metrics; the third has no process, the second skips some heartbeats."""

    AGENTS = ("coder", "reviewer", "shadow")
    _UNRESOLVED = 3

    def __init__(self, file: Path) -> None:
        self._file = file
        self._random = random.Random(4)
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA journal_mode = wal")
            connection.executescript(BROKER_SCHEMA)
            for agent in self.AGENTS:
                metadata = "{}" if agent == "shadow" else json.dumps({"pid": 1000 + len(agent)})
                connection.execute(
                    "INSERT INTO agents VALUES (?, 'claude', 'online', 'tmux', ?, 30000, ?, ?, ?)",
                    (agent, metadata, _now(), _now(), _now()),
                )
                connection.execute("INSERT INTO agent_events (agent_id, event_type) VALUES (?, 'started')", (agent,))
        connection.close()

    def send(self, step: Step) -> None:
        if not step.task:
            return
        with sqlite3.connect(self._file) as connection:
            for agent in self.AGENTS:
                has_process = agent != "shadow"
                cpu, memory = (self._random.gauss(45, 8), self._random.gauss(700, 60)) if has_process else (0, 0)
                connection.execute(
                    "INSERT INTO agent_metrics (agent_id, cpu_percent, memory_mb, status, error_count, message_count) "
                    "VALUES (?, ?, ?, 'online', 0, 3)",
                    (agent, max(cpu, 0), max(int(memory), 0)),
                )
                if agent != "reviewer" or self._random.random() > 0.3:
                    connection.execute("UPDATE agents SET last_heartbeat = ? WHERE agent_id = ?", (_now(), agent))
            status = "pending" if self._random.random() < 0.2 else "completed"
            connection.execute(
                "INSERT INTO tickets VALUES (?, 'coder', 'reviewer', '', '', 1, 30000, ?, '', ?, ?)",
                (str(uuid.uuid4()), status, _now(), _now()),
            )
            connection.execute(
                "INSERT INTO messages (message_id, from_agent, to_agent, latency_ms, timestamp) VALUES (?, ?, ?, ?, ?)",
                (str(uuid.uuid4()), "coder", "reviewer", int(self._random.expovariate(1 / 400)), _now()),
            )
            if self._random.random() < 0.1:
                connection.execute(
                    "INSERT INTO error_logs (agent_id, error_type, message) VALUES ('coder', 'Timeout', 'no response')"
                )
                connection.execute(
                    "UPDATE error_logs SET resolved = TRUE "
                    "WHERE id NOT IN (SELECT id FROM error_logs ORDER BY id DESC LIMIT ?)",
                    (self._UNRESOLVED,),
                )
        connection.close()
