"""The broker's tables: the queries, and what is kept from one reading to the next.

`agents`, `tickets` and `error_logs` are small and change in place: they are read whole. `agent_metrics`, `agent_events`
and `messages` only grow at their end: they are read from the last row on, and what they add since the start is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from exporter.clients.sqlite import Reading
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import OTHER
from exporter.metrics.timestamps import instant

LATENCIES = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
PENDING: Final = "pending"

_STRETCH = 50_000
"""Rows read in one transaction."""
_LATEST_METRICS = 50_000
"""Last rows of `agent_metrics` that the first reading looks at: 25 minutes of a thousand agents."""
_MOST_AGENTS = 100_000
_MOST_TYPES = 100
_LARGEST = 1e12


class BrokerAgent(NamedTuple):
    """A row of `agents`; `heartbeat` in seconds since 1970, `interval` in seconds, `pid` if its metadata names one."""

    id: str
    type: str
    status: str
    mode: str
    pid: int | None
    heartbeat: float | None
    interval: float | None


class Figures(NamedTuple):
    """The latest row of `agent_metrics` of an agent; `at` in seconds since 1970."""

    agent: str
    at: float | None
    cpu_percent: float | None
    memory_mb: float | None
    errors: int
    tickets: int


class Tickets(NamedTuple):
    """`oldest` pending ticket in seconds since 1970, `overdue` by the pending tickets' own timeouts."""

    by_status: dict[str, int]
    oldest: float | None
    overdue: int


@dataclass(frozen=True, slots=True)
class BrokerSnapshot:
    """The broker now; None for a table that the file does not have."""

    agents: tuple[BrokerAgent, ...]
    """At most `max_agents`, the latest heartbeats first."""
    number: dict[tuple[str, str, str], int]
    """All agents, also those over the limit, by status, type and mode; at most `max_agents` of these."""
    figures: dict[str, Figures]
    tickets: Tickets | None
    errors: dict[tuple[str, str], int]
    """Unresolved errors by agent and type."""
    events: dict[tuple[str, bool], int]
    """Events since the start, by type and whether they repeat an alert."""
    latencies: Histogram | None
    unreadable: dict[str, int]
    """Values that could not be parsed, by table and column."""
    refused: dict[str, int]
    """Agents, and errors by agent and type, dropped over `max_agents` since the start; each once while it is over it."""


UNRESOLVED: Final = "lower(trim(COALESCE(CAST(resolved AS TEXT), ''))) IN ('', '0', '0.0', 'false', 'f', 'no', 'n')"

AGENTS = f"""
    SELECT agent_id, type, status, comm_mode, metadata, last_heartbeat, heartbeat_interval_ms
    FROM agents LIMIT {_MOST_AGENTS}"""  # noqa: S608 - constants of this program

TICKETS = "SELECT status, COUNT(*) FROM tickets GROUP BY status"
PENDING_TICKETS = "SELECT created_at, timeout_ms FROM tickets WHERE status = ?"

ERRORS = f"SELECT agent_id, error_type, COUNT(*) FROM error_logs WHERE {UNRESOLVED} GROUP BY 1, 2"  # noqa: S608 - constants of this program

FIGURES = """
    SELECT rowid, agent_id, timestamp, cpu_percent, memory_mb, error_count, message_count
    FROM agent_metrics WHERE rowid > ? ORDER BY rowid LIMIT ?"""

# Only CASE prevents SQLite from evaluating json_extract of invalid JSON, which is an error.
EVENTS = """
    SELECT event_type, CASE WHEN typeof(metadata) <> 'text' THEN 0 WHEN json_valid(metadata)
        THEN json_extract(metadata, '$.alertType') IS NOT NULL ELSE 0 END, COUNT(*)
    FROM agent_events WHERE rowid > ? AND rowid <= ? GROUP BY 1, 2"""

NEW_EVENTS = """
    SELECT rowid, agent_id, event_type, message, metadata, timestamp FROM agent_events
    WHERE rowid > ? ORDER BY rowid LIMIT ?"""

MESSAGES = "SELECT latency_ms FROM messages WHERE rowid > ? AND rowid <= ? AND latency_ms IS NOT NULL"


class Tables:
    """Everything read from one broker."""

    def __init__(self) -> None:
        self._events: Counter[tuple[str, bool]] = Counter()
        self._held: Counter[tuple[str, bool]] = Counter()
        self._latencies = Histogram(LATENCIES)
        self._bad_latencies = 0
        self._refused = {"broker_agents": 0, "broker_errors": 0}
        self._over: dict[str, frozenset[str]] = {}
        self.begin()

    def begin(self) -> None:
        """Read every table from its start again, because the file was replaced; counters keep their values."""
        self._figures: dict[str, Figures] = {}
        self._last: dict[str, int] = {}
        self._baseline: dict[str, int] = {}

    def read(self, reading: Reading, *, now: float, max_agents: int) -> BrokerSnapshot:
        """The current state. Raises sqlite3's errors."""
        unreadable: Counter[str] = Counter()
        everyone = self._agents(reading, unreadable)
        agents = everyone[:max_agents]
        if reading.columns("agent_metrics"):
            self._read_figures(reading)
        self._refuse("broker_agents", [agent.id for agent in everyone[max_agents:]])
        known = {agent.id for agent in agents}
        self._figures = {agent: found for agent, found in self._figures.items() if agent in known}
        if reading.columns("agent_events"):
            self._read_events(reading)
        has_messages = bool(reading.columns("messages"))
        if has_messages:
            self._read_messages(reading)
        unreadable["messages.latency_ms"] = self._bad_latencies
        return BrokerSnapshot(
            agents=tuple(agents),
            number=_by_state(everyone, max_agents),
            figures=dict(self._figures),
            tickets=self._tickets(reading, now, unreadable) if reading.columns("tickets") else None,
            errors=self._errors(reading, max_agents) if reading.columns("error_logs") else {},
            events=dict(self._events),
            latencies=self._latencies.copy() if has_messages else None,
            unreadable=dict(unreadable),
            refused=dict(self._refused),
        )

    def _refuse(self, kind: str, names: Iterable[str]) -> None:
        """Count what is over the limit now and was not at the last reading."""
        over = frozenset(names)
        self._refused[kind] += len(over - self._over.get(kind, frozenset()))
        self._over[kind] = over

    def _agents(self, reading: Reading, unreadable: Counter[str]) -> list[BrokerAgent]:
        """The agents, the one with the latest heartbeat first."""
        found: dict[str, BrokerAgent] = {}
        for name, kind, status, mode, metadata, heartbeat, interval in reading.rows(AGENTS):
            agent = BrokerAgent(
                _text(name),
                _text(kind),
                _text(status),
                _text(mode),
                _pid(metadata),
                _time(heartbeat, "agents.last_heartbeat", unreadable),
                _milliseconds(interval, "agents.heartbeat_interval_ms", unreadable),
            )
            found[agent.id] = agent
        return sorted(found.values(), key=lambda agent: -(agent.heartbeat or 0.0))

    def _tickets(self, reading: Reading, now: float, unreadable: Counter[str]) -> Tickets:
        by_status: Counter[str] = Counter()
        for status, number in reading.rows(TICKETS):
            by_status[_text(status)] += number
        oldest, overdue = None, 0
        for created, timeout in reading.rows(PENDING_TICKETS, (PENDING,)):
            at = _time(created, "tickets.created_at", unreadable)
            limit = _milliseconds(timeout, "tickets.timeout_ms", unreadable)
            if at is not None:
                oldest = at if oldest is None else min(oldest, at)
                overdue += limit is not None and at + limit < now
        return Tickets(dict(by_status), oldest, overdue)

    def _errors(self, reading: Reading, most: int) -> dict[tuple[str, str], int]:
        found: Counter[tuple[str, str]] = Counter()
        for agent, kind, number in reading.rows(ERRORS):
            found[_text(agent), _text(kind)] += number
        ranked = found.most_common()
        self._refuse("broker_errors", [f"{agent} {kind}" for (agent, kind), _ in ranked[most:]])
        return dict(ranked[:most])

    def _read_figures(self, reading: Reading) -> None:
        newest = reading.last_row("agent_metrics")
        last = self._last.get("agent_metrics")
        if last is None or newest < last:
            last = max(newest - _LATEST_METRICS, 0)
        while rows := reading.rows(FIGURES, (last, _STRETCH)):
            for number, agent, at, cpu, memory, errors, tickets in rows:
                last = number
                found = Figures(_text(agent), instant(at)[0], _number(cpu), _number(memory), _count(errors), _count(tickets))
                self._figures[found.agent] = found
        self._last["agent_metrics"] = last

    def _read_events(self, reading: Reading) -> None:
        """Count new events; existing events are not counted, but their types are exported with 0.

        Events of a new type count from the next reading on: `increase()` needs a 0 before them.
        """
        self._events.update(self._held)
        self._held.clear()
        newest = self._prepared(reading, "agent_events", first=0)
        while (last := self._last["agent_events"]) < newest:
            baseline = self._baseline["agent_events"]
            until = reading.last_of("agent_events", last, _STRETCH)
            if last < baseline:
                until = min(until, baseline)
            for kind, is_alert, number in reading.rows(EVENTS, (last, until)):
                key = (_text(kind), bool(is_alert))
                if key not in self._events and len(self._events) >= _MOST_TYPES:
                    key = (OTHER, bool(is_alert))
                is_new = key in self._held or key not in self._events
                self._events[key] += 0 if is_new or last < baseline else number
                if is_new and last >= baseline:
                    self._held[key] += number
            self._last["agent_events"] = until
            reading.release()

    def _read_messages(self, reading: Reading) -> None:
        newest = self._prepared(reading, "messages", first=None)
        while (last := self._last["messages"]) < newest:
            until = reading.last_of("messages", last, _STRETCH)
            for (latency,) in reading.rows(MESSAGES, (last, until)):
                value = _number(latency)
                if value is None or not 0 <= value <= _LARGEST:
                    self._bad_latencies += 1
                else:
                    self._latencies.observe(value / 1000)
            self._last["messages"] = until
            reading.release()

    def _prepared(self, reading: Reading, table: str, *, first: int | None) -> int:
        """The last row of a table. A first reading begins after `first` or at the end; existing rows are the baseline."""
        newest = reading.last_row(table)
        if table not in self._last:
            self._baseline[table] = newest
            self._last[table] = newest if first is None else first
        elif newest < self._last[table]:  # rows were deleted from the end: their numbers may come again
            self._baseline[table] = self._last[table] = newest
        return newest


def _pid(metadata: Any) -> int | None:
    """The process id in an agent's metadata; JSON as Python writes it, with NaN."""
    try:
        found = json.loads(metadata) if isinstance(metadata, str | bytes) else None
    except (ValueError, RecursionError):
        return None
    pid = found.get("pid") if isinstance(found, dict) else None
    return pid if type(pid) is int and pid > 0 else None


def _time(value: Any, column: str, unreadable: Counter[str]) -> float | None:
    if value is None or value == "":
        return None
    moment = instant(value)[0]
    if moment is None:
        unreadable[column] += 1
    return moment


def _milliseconds(value: Any, column: str, unreadable: Counter[str]) -> float | None:
    """In seconds."""
    if value is None:
        return None
    number = _number(value)
    if number is None or not 0 <= number <= _LARGEST:
        unreadable[column] += 1
        return None
    return number / 1000


def _by_state(agents: Sequence[BrokerAgent], most: int) -> dict[tuple[str, str, str], int]:
    """The number of agents by status, type and mode, the largest groups first."""
    return dict(Counter((agent.status, agent.type, agent.mode) for agent in agents).most_common(most))


def _text(value: Any) -> str:
    return value[:100] if isinstance(value, str) and value else "unknown"


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
