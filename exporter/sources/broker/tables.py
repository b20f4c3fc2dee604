"""The broker's tables: what is asked of each, and what of it is remembered from one reading to the next.

`agents`, `tickets` and `error_logs` are small and change in place: they are read whole. `agent_metrics`, `agent_events`
and `messages` only grow at their end: they are read on from the last row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.clients.sqlite import Reading, up_to
from exporter.metrics.histogram import Histogram

LATENCIES = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

_STRETCH = 50_000
"""Rows added up in one look."""
_LATEST_METRICS = 50_000
"""Rows of `agent_metrics` looked at when the reading begins: 25 minutes of a thousand agents."""


def _seconds(column: str) -> str:
    """A time, in either of the shapes that occur, as seconds since 1970."""
    return f"(julianday({column}) - 2440587.5) * 86400.0"


class Agent(NamedTuple):
    """A row of `agents`; `heartbeat` in seconds since 1970, `interval` in seconds, `pid` where its metadata names one."""

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
    """Of one status; `oldest` in seconds since 1970, `overdue` by the tickets' own timeouts."""

    status: str
    number: int
    oldest: float | None
    overdue: int


AGENTS = f"""
    SELECT agent_id, type, status, comm_mode,
        CASE WHEN json_valid(metadata) THEN json_extract(metadata, '$.pid') END,
        {_seconds("last_heartbeat")}, heartbeat_interval_ms / 1000.0
    FROM agents ORDER BY last_heartbeat DESC LIMIT ?"""  # noqa: S608 - our own expressions, here and below

TICKETS = f"""
    SELECT status, COUNT(*), MIN({_seconds("created_at")}),
        SUM({_seconds("created_at")} + timeout_ms / 1000.0 < ?)
    FROM tickets GROUP BY status"""  # noqa: S608

ERRORS = """
    SELECT agent_id, error_type, COUNT(*) FROM error_logs WHERE NOT resolved GROUP BY 1, 2 ORDER BY 3 DESC LIMIT ?"""

FIGURES = f"""
    SELECT id, agent_id, {_seconds("timestamp")}, cpu_percent, memory_mb, error_count, message_count
    FROM agent_metrics WHERE id > ? ORDER BY id LIMIT ?"""  # noqa: S608

EVENTS = """
    SELECT event_type, COALESCE(json_valid(metadata) AND json_extract(metadata, '$.alertType') IS NOT NULL, 0), COUNT(*)
    FROM agent_events WHERE id > ? AND id <= ? GROUP BY 1, 2"""

TOLD = f"""
    SELECT id, agent_id, event_type, message, metadata, {_seconds("timestamp")} FROM agent_events
    WHERE id > ? ORDER BY id LIMIT ?"""  # noqa: S608

_BUCKETS = up_to("latency_ms", [bound * 1000 for bound in LATENCIES])
MESSAGES = f"SELECT COUNT(latency_ms), SUM(latency_ms), {_BUCKETS} FROM messages WHERE id > ? AND id <= ?"  # noqa: S608


@dataclass(slots=True)
class Broker:
    """What has been read; `tables` are those that the file has, each with its columns."""

    tables: dict[str, frozenset[str]] = field(default_factory=dict)
    agents: tuple[Agent, ...] = ()
    tickets: tuple[Tickets, ...] = ()
    errors: tuple[tuple[str, str, int], ...] = ()
    figures: dict[str, Figures] = field(default_factory=dict)
    events: Counter[tuple[str, bool]] = field(default_factory=Counter)
    latencies: Histogram = field(default_factory=lambda: Histogram(LATENCIES))
    _last: dict[str, int] = field(default_factory=dict)

    def read(self, reading: Reading, *, now: float, max_agents: int) -> bool:
        """One look at everything; whether nothing of what grows was left for another one. sqlite3's errors pass."""
        self.tables = {name: reading.columns(name) for name in _TABLES}
        self.agents = tuple(Agent(*_agent(row)) for row in reading.rows(AGENTS, (max_agents,)))
        if self.tables["tickets"]:
            self.tickets = tuple(
                Tickets(_text(row[0]), row[1], row[2], row[3] or 0) for row in reading.rows(TICKETS, (now,))
            )
        if self.tables["error_logs"]:
            rows = reading.rows(ERRORS, (max_agents,))
            self.errors = tuple((_text(agent), _text(kind), number) for agent, kind, number in rows)
        done = self._read_figures(reading)
        for table, add in (("agent_events", self._add_events), ("messages", self._add_messages)):
            if self.tables[table]:
                done = self._stretch(reading, table, add) and done
        return done

    def _newest(self, reading: Reading, table: str) -> int:
        newest = reading.newest(table)
        if newest < self._last.get(table, 0):  # emptied and filled anew
            self._last[table] = 0
        return newest

    def _read_figures(self, reading: Reading) -> bool:
        if not self.tables["agent_metrics"]:
            return True
        newest = self._newest(reading, "agent_metrics")
        last = self._last.get("agent_metrics") or max(newest - _LATEST_METRICS, 0)
        rows = reading.rows(FIGURES, (last, _LATEST_METRICS))
        for row in rows:
            found = Figures(_text(row[1]), row[2], _number(row[3]), _number(row[4]), _count(row[5]), _count(row[6]))
            self.figures[found.agent] = found
        self._last["agent_metrics"] = rows[-1][0] if rows else last
        known = {agent.id for agent in self.agents}
        self.figures = {agent: found for agent, found in self.figures.items() if agent in known}
        return self._last["agent_metrics"] >= newest

    def _stretch(self, reading: Reading, table: str, add: Any) -> bool:
        newest, last = self._newest(reading, table), self._last.get(table, 0)
        if last >= newest:
            return True
        until = reading.end_of_stretch(table, last, _STRETCH)
        add(reading, last, until)
        self._last[table] = until
        return until >= newest

    def _add_events(self, reading: Reading, last: int, until: int) -> None:
        for kind, is_alert, number in reading.rows(EVENTS, (last, until)):
            self.events[_text(kind) if len(self.events) < 100 else "other", bool(is_alert)] += number

    def _add_messages(self, reading: Reading, last: int, until: int) -> None:
        [(number, total, *reached)] = reading.rows(MESSAGES, (last, until))
        if number:  # the sums of no numbers are null
            self.latencies.add_cumulative((*reached, number), total / 1000)


_TABLES = ("agents", "tickets", "messages", "agent_metrics", "agent_events", "error_logs")


def _agent(row: tuple[Any, ...]) -> tuple[Any, ...]:
    name, kind, status, mode, pid, heartbeat, interval = row
    known = pid if isinstance(pid, int) and pid > 0 else None
    return _text(name), _text(kind), _text(status), _text(mode), known, heartbeat, interval


def _text(value: Any) -> str:
    return value[:100] if isinstance(value, str) and value else "unknown"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
