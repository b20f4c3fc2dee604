"""The agent broker's tables as series, on real SQLite files: gauges, counters, and values of every shape."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.broker import Broker, BrokerOptions
from tests.sources.broker_tables import SCHEMA, broker, filled, insert
from tests.support.pages import collected, followed, page_now


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


async def test_zeros_of_an_agent_without_a_process_are_no_data(tmp_path: Path) -> None:
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


async def test_counters_count_added_rows_and_gauges_show_current_ones(tmp_path: Path) -> None:
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
            assert (await page_now(source))[stopped] == 0  # before its first rise
            page = await page_now(source)
    assert page[stopped] == 1
    assert page['fleet_broker_events_total{type="error",origin="alert"}'] == 1
    assert page['fleet_broker_events_total{type="error",origin="agent"}'] == 0
    assert page['fleet_broker_message_latency_seconds_bucket{le="0.1"}'] == 1
    assert page["fleet_broker_message_latency_seconds_count"] == 2
    assert page['fleet_broker_agent_memory_bytes{agent="a"}'] == 3 * 2**20
    assert page['fleet_broker_agents{status="offline",type="claude",mode="tmux"}'] == 1
    shown = [name for name in page if name.startswith('fleet_broker_agent_info{agent="a"')]
    assert shown == ['fleet_broker_agent_info{agent="a",status="offline",type="claude",mode="tmux"}']


async def test_retention_and_a_restart_do_not_decrease_counters(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    errors = 'fleet_broker_events_total{type="error",origin="agent"}'
    with broker(path) as connection:
        filled(connection)
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            insert(connection, "agent_events", agent_id="a", event_type="error")
            insert(connection, "messages", message_id="4", latency_ms=80)
            assert (await page_now(source))[errors] == 1
            connection.execute("DELETE FROM agent_events")
            connection.execute("DELETE FROM messages")
            page = await page_now(source)
            assert (page[errors], page["fleet_broker_message_latency_seconds_count"]) == (1, 1)
            insert(connection, "agent_events", agent_id="a", event_type="error")
            insert(connection, "messages", message_id="5", latency_ms=80)
            page = await page_now(source)
            assert (page[errors], page["fleet_broker_message_latency_seconds_count"]) == (2, 2)
        again = Broker(BrokerOptions(database=path))
        async with followed(again):
            assert (await page_now(again))[errors] == 0


@pytest.mark.parametrize(
    "metadata",
    ["", "{bad", "{alertType:'x'}", '{"a":NaN}', b"\x00\xff", b'{"alertType": "x"}', "[1]", "3", '{"alertType"'],
    ids=range(9),
)
async def test_an_event_with_invalid_metadata_counts_as_an_agents_event(tmp_path: Path, metadata: str | bytes) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        filled(connection)
        insert(connection, "agents", agent_id="c", metadata=metadata)
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            insert(connection, "agent_events", agent_id="a", event_type="error", metadata=metadata)
            page = await page_now(source)
            assert page['fleet_broker_events_total{type="error",origin="agent"}'] == 1
            assert page['fleet_broker_events_total{type="error",origin="alert"}'] == 0


async def test_every_heartbeat_format_is_parsed_and_others_are_counted(tmp_path: Path) -> None:
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


async def test_rows_with_equal_labels_are_summed(tmp_path: Path) -> None:
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


async def test_invalid_latencies_are_counted_and_excluded(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        source = Broker(BrokerOptions(database=path))
        async with followed(source):
            await source.collect()
            for number, latency in enumerate((-5, "abc", 80, None)):
                insert(connection, "messages", message_id=str(number), latency_ms=latency)
            page = await page_now(source)
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
            page = await page_now(source)
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


async def test_agents_over_the_limit_are_in_the_totals(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with broker(path) as connection:
        for number in range(5):
            insert(connection, "agents", agent_id=f"a{number}", type="claude", status="active", comm_mode="tmux")
            insert(connection, "error_logs", agent_id=f"a{number}", error_type="crash")
        source = Broker(BrokerOptions(database=path, max_agents=2))
        page = await collected(source)
        insert(connection, "agents", agent_id="later", type="claude", status="active", comm_mode="tmux")
        later = await collected(source)

    assert page['fleet_broker_agents{status="active",type="claude",mode="tmux"}'] == 5
    assert page['fleet_agents{system="broker",role="claude",state="active"}'] == 5
    assert len([name for name in page if name.startswith("fleet_broker_agent_info{")]) == 2
    # Each is counted once, not at every reading.
    refused = 'fleet_exporter_limit_hits_total{{kind="broker_{}"}}'
    assert [one[refused.format("agents")] for one in (page, later)] == [3, 4]
    assert [one[refused.format("errors")] for one in (page, later)] == [3, 3]
