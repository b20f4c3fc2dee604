"""The agent broker on a real SQLite file in WAL mode: its tables as series and as its own dashboard has them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.broker import Broker, BrokerOptions
from tests.sources.ledgers import invoke, writer
from tests.support.pages import Page, collected, followed, samples_of, series
from tests.support.process import exporter

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
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # noqa: S608


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


async def test_the_tables_as_series(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        filled(connection)
        page = await collected(Broker(BrokerOptions(database=path)))

    assert page['fleet_broker_agents{status="online",type="claude",mode="tmux"}'] == 2
    assert page['fleet_broker_agent_info{agent="a",status="online",type="claude",mode="tmux"}'] == 1
    assert page['fleet_broker_agent_heartbeat_timestamp_seconds{agent="a"}'] == pytest.approx(
        datetime.now(UTC).timestamp() - 10, abs=30
    )
    assert 'fleet_broker_agent_heartbeat_timestamp_seconds{agent="b"}' not in page
    assert page['fleet_broker_agent_heartbeat_interval_seconds{agent="a"}'] == 30
    assert page['fleet_broker_agent_cpu_ratio{agent="a"}'] == 0.855
    assert page['fleet_broker_agent_memory_bytes{agent="a"}'] == 512 * 2**20
    assert page['fleet_broker_agent_errors{agent="a"}'] == 2
    assert page['fleet_broker_events_total{type="error",origin="agent"}'] == 0  # none since the start
    assert page['fleet_broker_events_total{type="error",origin="alert"}'] == 0
    assert page['fleet_broker_unresolved_errors{agent="a",type="Timeout"}'] == 1
    assert page['fleet_broker_tickets{status="pending"}'] == 2
    assert page["fleet_broker_overdue_tickets"] == 1
    assert page["fleet_broker_message_latency_seconds_count"] == 0
    assert not [name for name in page if "gone" in name]


async def test_zero_of_an_agent_without_a_process_is_no_measurement(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        filled(connection)
        page = await collected(Broker(BrokerOptions(database=path)))

    assert 'fleet_broker_agent_memory_bytes{agent="b"}' not in page
    assert 'fleet_broker_agent_cpu_ratio{agent="b"}' not in page
    assert page['fleet_broker_agent_tickets{agent="b"}'] == 0


async def test_an_empty_broker_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path):
        page = await collected(Broker(BrokerOptions(database=path)))

    assert page['fleet_broker_tickets{status="pending"}'] == 0
    assert page["fleet_broker_message_latency_seconds_count"] == 0


async def page_of(source: Broker) -> Page:
    return series(await samples_of(source))


async def test_it_counts_what_is_added_and_shows_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        filled(connection)
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            insert(connection, "agent_events", agent_id="a", event_type="stopped", message="", metadata=None)
            insert(connection, "agent_events", agent_id="a", event_type="error", metadata='{"alertType": "cpu"}')
            insert(connection, "agent_metrics", agent_id="a", cpu_percent=1, memory_mb=3, error_count=0, message_count=7)
            insert(connection, "messages", message_id="4", latency_ms=80)
            insert(connection, "messages", message_id="5", latency_ms=4000)
            connection.execute("UPDATE agents SET status = 'offline' WHERE agent_id = 'a'")
            stopped = 'fleet_broker_events_total{type="stopped",origin="agent"}'
            assert (await page_of(source))[stopped] == 0  # before its first rise
            page = await page_of(source)
    assert page[stopped] == 1
    assert page['fleet_broker_events_total{type="error",origin="alert"}'] == 1
    assert page['fleet_broker_events_total{type="error",origin="agent"}'] == 0
    assert page['fleet_broker_message_latency_seconds_bucket{le="0.1"}'] == 1
    assert page["fleet_broker_message_latency_seconds_count"] == 2
    assert page['fleet_broker_agent_memory_bytes{agent="a"}'] == 3 * 2**20
    assert page['fleet_broker_agents{status="offline",type="claude",mode="tmux"}'] == 1
    shown = [name for name in page if name.startswith('fleet_broker_agent_info{agent="a"')]
    assert shown == ['fleet_broker_agent_info{agent="a",status="offline",type="claude",mode="tmux"}']


async def test_retention_and_a_restart_lower_no_counter(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    errors = 'fleet_broker_events_total{type="error",origin="agent"}'
    with broker(path) as connection:
        filled(connection)
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            insert(connection, "agent_events", agent_id="a", event_type="error")
            insert(connection, "messages", message_id="4", latency_ms=80)
            assert (await page_of(source))[errors] == 1
            connection.execute("DELETE FROM agent_events")
            connection.execute("DELETE FROM messages")
            page = await page_of(source)
            assert (page[errors], page["fleet_broker_message_latency_seconds_count"]) == (1, 1)
            insert(connection, "agent_events", agent_id="a", event_type="error")
            insert(connection, "messages", message_id="5", latency_ms=80)
            page = await page_of(source)
            assert (page[errors], page["fleet_broker_message_latency_seconds_count"]) == (2, 2)
        again = Broker(BrokerOptions(database=path))
        async with followed(again):
            assert (await page_of(again))[errors] == 0


@pytest.mark.parametrize(
    "metadata",
    ["", "{bad", "{alertType:'x'}", '{"a":NaN}', b"\x00\xff", b'{"alertType": "x"}', "[1]", "3", '{"alertType"'],
    ids=range(9),
)
async def test_metadata_that_is_not_json_is_an_agents_event(tmp_path: Path, metadata: str | bytes) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        filled(connection)
        insert(connection, "agents", agent_id="c", metadata=metadata)
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            insert(connection, "agent_events", agent_id="a", event_type="error", metadata=metadata)
            page = await page_of(source)
            assert page['fleet_broker_events_total{type="error",origin="agent"}'] == 1
            assert page['fleet_broker_events_total{type="error",origin="alert"}'] == 0


async def test_every_shape_of_heartbeat_is_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    now = datetime.now(UTC)
    shapes = [
        int(now.timestamp()),
        str(int(now.timestamp() * 1000)),
        now.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        now.isoformat() + "Z",
        now.strftime("%Y/%m/%d %H:%M:%S"),
        now.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (UTC)"),
    ]
    with broker(path) as connection:
        for number, shape in enumerate(shapes):
            insert(connection, "agents", agent_id=f"a{number}", last_heartbeat=shape)
        insert(connection, "agents", agent_id="x", last_heartbeat="20/11/2026")
        page = await collected(Broker(BrokerOptions(database=path)))

    for number in range(len(shapes)):
        moment = page[f'fleet_broker_agent_heartbeat_timestamp_seconds{{agent="a{number}"}}']
        assert moment == pytest.approx(now.timestamp(), abs=1)
    assert page['fleet_exporter_unreadable_values{source="broker",field="agents.last_heartbeat"}'] == 1


async def test_rows_that_look_alike_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        for number, status in enumerate((None, "", "x" * 100 + "1", "x" * 100 + "2")):
            insert(connection, "tickets", ticket_id=str(number), status=status)
        for number, resolved in enumerate(("true", "TRUE", 1, "false", 0, None)):
            insert(connection, "error_logs", id=number + 1, agent_id="a", error_type="t", resolved=resolved)
        page = await collected(Broker(BrokerOptions(database=path)))

    assert page['fleet_broker_tickets{status="unknown"}'] == 2
    assert page[f'fleet_broker_tickets{{status="{"x" * 100}"}}'] == 2
    assert page['fleet_broker_unresolved_errors{agent="a",type="t"}'] == 3


async def test_latencies_that_cannot_be_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            for number, latency in enumerate((-5, "abc", 80, None)):
                insert(connection, "messages", message_id=str(number), latency_ms=latency)
            page = await page_of(source)
            assert page["fleet_broker_message_latency_seconds_count"] == 1
            assert page['fleet_exporter_unreadable_values{source="broker",field="messages.latency_ms"}'] == 2


async def test_ids_may_be_text(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.executescript(SCHEMA.replace("id INTEGER PRIMARY KEY AUTOINCREMENT", "id TEXT PRIMARY KEY"))
        insert(connection, "agent_events", id="f00", agent_id="a", event_type="started")
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            insert(connection, "agent_events", id="00f", agent_id="a", event_type="started")
            page = await page_of(source)
            assert page['fleet_broker_events_total{type="started",origin="agent"}'] == 1
    connection.close()


async def test_another_database_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE something (x)")
    with pytest.raises(SourceError) as caught:
        await collected(Broker(BrokerOptions(database=path, timeout=0.5)))

    assert caught.value.reason is Reason.MALFORMED
    assert "no such table: agents" in str(caught.value)


def test_the_api_has_the_brokers_dashboard_and_the_ledgers_days(tmp_path: Path) -> None:
    with broker(tmp_path / "broker.db") as connection, writer(tmp_path / "telemetry.db") as ledger:
        filled(connection)
        invoke(ledger, 1, model_name="=m")
        flags = (f"--broker.database={tmp_path / 'broker.db'}", f"--costs.database={tmp_path / 'telemetry.db'}")
        with exporter(*flags) as running:
            httpx.get(f"{running.url}/metrics")
            found = httpx.get(f"{running.url}/api/monitoring/dashboard").json()
            assert [agent["agentId"] for agent in found["agents"]] == ["a", "b"]
            assert found["agents"][0]["metrics"]["memoryMb"] == 512
            assert [event["message"] for event in found["recentEvents"]] == ["y", "x", "up"]
            assert found["activeErrors"] == [{"agentId": "a", "count": 1}]
            one = httpx.get(f"{running.url}/api/monitoring/agents/a", params={"hours": 1}).json()
            assert (len(one["metrics"]), len(one["events"]), len(one["errors"])) == (2, 3, 2)
            assert httpx.get(f"{running.url}/api/monitoring/agents/nobody").status_code == 404
            [day] = httpx.get(f"{running.url}/api/costs").json()
            assert (day["model"], day["cost_usd"]) == ("=m", 0.5)
            table = httpx.get(f"{running.url}/api/costs", params={"format": "csv"}).text.splitlines()
            assert table[1].split(",")[1:3] == ["'=m", "1"]


async def test_its_events_and_agents_are_shown_with_those_of_the_other_systems(tmp_path: Path) -> None:
    with broker(tmp_path / "broker.db") as connection:
        filled(connection)
        with exporter(f"--broker.database={tmp_path / 'broker.db'}") as running:
            async with httpx.AsyncClient(timeout=20) as client:
                page = (await client.get(f"{running.url}/metrics")).text
                assert 'fleet_agents{system="broker",role="claude",state="online"} 2' in page
                agents = (await client.get(f"{running.url}/api/agents", params={"system": "broker"})).json()
                assert [(agent["id"], agent["state"]) for agent in agents] == [("a", "online"), ("b", "online")]
                async with client.stream("GET", f"{running.url}/api/events/stream") as reply:
                    lines = reply.aiter_lines()
                    await anext(lines)
                    insert(connection, "agent_events", agent_id="a", event_type="error", message="no answer")
                    async for line in lines:
                        if line.startswith("data: "):
                            event = json.loads(line.removeprefix("data: "))
                            break
                shown = (event["family"], event["type"], event["agent"], event["error"])
                assert shown == ("broker", "broker.error", "a", "no answer")
                found = (await client.get(f"{running.url}/api/events", params={"since": "1h"})).json()
                assert [one["type"] for one in found["events"]] == ["broker.error"]
