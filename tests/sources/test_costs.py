"""The cost ledger on real SQLite files: its sums, its counters, and that its writer never notices."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.costs import Costs, CostsOptions
from servers import prometheus
from servers.process import free_port
from tests.sources.ledgers import invoke, writer
from tests.support.pages import Page, collected, eventually, followed, page_showing, samples_of, series
from tests.support.process import exporter

WHO = 'model="m",tool="chat",agent="coder",status="success"'


async def failure(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await collected(Costs(CostsOptions(database=path, timeout=0.5)))
    return caught.value


async def page_of(source: Costs) -> Page:
    return series(await samples_of(source))


async def test_counters_start_at_0_and_count_what_is_added(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1)
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            before = await page_of(source)
            assert before[f"fleet_cost_invocations_total{{{WHO}}}"] == 0  # known, so that the first increase counts
            assert before['fleet_cost_latency_seconds_count{model="m"}'] == 0
            assert before['fleet_cost_spent_usd{period="all"}'] == 0.5
            assert before["fleet_cost_recent_invocations"] == 1
            invoke(ledger, 2)
            invoke(ledger, 3, latency_ms=3000, cost_usd=None)
            invoke(ledger, 4, agent_name=None, status="error", latency_ms=None, model_name="other-model")
            other = 'fleet_cost_invocations_total{model="other-model",tool="chat",agent="unknown",status="error"}'
            assert (await page_of(source))[other] == 0  # before its first rise
            page = await page_of(source)
    assert page[other] == 1
    assert page[f"fleet_cost_invocations_total{{{WHO}}}"] == 2
    assert page[f"fleet_cost_prompt_tokens_total{{{WHO}}}"] == 20
    assert page[f"fleet_cost_completion_tokens_total{{{WHO}}}"] == 10
    assert page[f"fleet_cost_usd_total{{{WHO}}}"] == 0.5
    assert page['fleet_cost_latency_seconds_bucket{model="m",le="0.5"}'] == 1
    assert page['fleet_cost_latency_seconds_bucket{model="m",le="5.0"}'] == 2
    assert page['fleet_cost_latency_seconds_sum{model="m"}'] == 3.3
    assert page["fleet_cost_recent_invocations"] == 4
    assert page["fleet_cost_last_invocation_timestamp_seconds"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert not list(tmp_path.glob("*-wal"))


async def test_prometheus_counts_each_invocation_once_across_a_restart_and_retention(tmp_path: Path) -> None:
    """By what `increase()` adds up, without its extrapolation: the rises, and after a reset the value."""
    path, port = tmp_path / "telemetry.db", free_port(None)
    flags = (f"--costs.database={path}", f"--web.listen-address=127.0.0.1:{port}")
    config = f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: fleet, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""

    def rises(server: str, name: str) -> float:
        reply = httpx.get(f"{server}/api/v1/query", params={"query": f"{name}[10m]"}).json()
        total = 0.0
        for found in reply["data"]["result"]:
            values = [float(value) for _, value in found["values"]]
            total += sum(later - earlier if later >= earlier else later for earlier, later in itertools.pairwise(values))
        return total

    async def shown(server: str, rise: float) -> None:
        async def reached() -> bool:
            return await asyncio.to_thread(rises, server, "fleet_cost_invocations_total") >= rise

        await eventually(reached)

    with writer(path) as ledger, prometheus.start(config=config) as server:
        for number in range(20):
            invoke(ledger, number)

        async def scraped(count: float) -> None:
            query = {"query": f'count_over_time(fleet_exporter_source_up{{source="costs"}}[10m]) > {count}'}

            async def found() -> bool:
                reply = await asyncio.to_thread(httpx.get, f"{server.url}/api/v1/query", params=query)
                return bool(reply.json()["data"]["result"])

            await eventually(found)

        with exporter(*flags):
            await scraped(1)
            for number in range(20, 23):
                invoke(ledger, number)
            invoke(ledger, 23, model_name="new")
            await shown(server.url, 4)
        ledger.execute("DELETE FROM invocations WHERE id <= 10")
        with exporter(*flags):
            await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/metrics")
            invoke(ledger, 24)
            await shown(server.url, 5)
            invoke(ledger, 25, cost_usd=1.0)
            await shown(server.url, 6)
            assert rises(server.url, "fleet_cost_invocations_total") == 6
            assert rises(server.url, "fleet_cost_latency_seconds_count") == 6
            assert rises(server.url, "fleet_cost_usd_total") == pytest.approx(3.5)


async def test_retention_and_a_restart_lower_no_counter_and_every_gauge_is_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    total, spent = f"fleet_cost_invocations_total{{{WHO}}}", 'fleet_cost_spent_usd{period="all"}'
    with writer(path) as ledger:
        for number in range(20):
            invoke(ledger, number)
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            await page_of(source)
            invoke(ledger, 20)
            ledger.execute("DELETE FROM invocations WHERE id <= 5")
            page = await page_of(source)
            assert (page[total], page[spent]) == (1, 8.0)
            ledger.execute("DELETE FROM invocations WHERE id > 10")
            page = await page_of(source)
            assert (page[total], page[spent]) == (1, 2.5)
        again = Costs(CostsOptions(database=path))
        async with followed(again):
            page = await page_of(again)
            assert (page[total], page[spent]) == (0, 2.5)


async def test_rows_that_are_corrected_or_deleted_in_the_middle_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        for number in range(3):
            invoke(ledger, number)
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            await page_of(source)
            ledger.execute("UPDATE invocations SET cost_usd = 2 WHERE id = 1")
            ledger.execute("DELETE FROM invocations WHERE id = 2")
            await page_showing(source, 'fleet_cost_spent_usd{period="all"}', 2.5)


def written(now: datetime) -> list[Any]:
    """One moment as different programs write it."""
    seconds = int(now.timestamp())
    return [
        now.isoformat(),
        now.strftime("%Y-%m-%d %H:%M:%S"),
        now.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        now.strftime("%Y-%m-%dT%H:%M:%S+00:00Z"),
        now.strftime("%Y/%m/%d %H:%M:%S"),
        seconds,
        str(seconds),
        seconds * 1000,
        str(seconds * 1000),
        seconds * 1000_000,
        seconds * 1000_000_000,
        now.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
        now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        now.strftime("%Y-%m-%d %H:%M:%S.123456789 +0000 UTC m=+0.000012"),
    ]


async def test_every_shape_of_time_is_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    now = datetime.now(UTC)
    with writer(path) as ledger:
        for number, moment in enumerate(written(now)):
            invoke(ledger, number, timestamp=moment, cost_usd=1)
        invoke(ledger, 100, timestamp="whenever", cost_usd=1)
        invoke(ledger, 101, timestamp="11/10/2025", cost_usd="much")
    page = await collected(Costs(CostsOptions(database=path)))

    assert page['fleet_cost_spent_usd{period="month"}'] == len(written(now))
    assert page['fleet_cost_spent_usd{period="all"}'] == len(written(now)) + 1
    assert page["fleet_cost_recent_invocations"] == len(written(now))
    assert page['fleet_exporter_unreadable_values{source="costs",field="invocations.timestamp"}'] == 2
    assert page['fleet_exporter_unreadable_values{source="costs",field="invocations.cost_usd"}'] == 1


async def test_no_value_makes_the_sums_useless(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1)
        invoke(ledger, 2, cost_usd=float("inf"), prompt_tokens=2**63 - 1)
        invoke(ledger, 3, cost_usd=None, prompt_tokens=2**63 - 1, latency_ms=-5)
        invoke(ledger, 4, model_name=b"\xff")
    page = await collected(Costs(CostsOptions(database=path)))

    assert page['fleet_cost_spent_usd{period="all"}'] == 1.0
    assert page['fleet_exporter_unreadable_values{source="costs",field="invocations.prompt_tokens"}'] == 2
    assert page['fleet_exporter_unreadable_values{source="costs",field="invocations.cost_usd"}'] == 1
    assert page['fleet_exporter_unreadable_values{source="costs",field="invocations.latency_ms"}'] == 1


async def test_the_last_five_minutes_are_five(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    now = datetime.now(UTC)
    with writer(path) as ledger:
        for number, age in enumerate((1, 250, 280, 330)):
            invoke(ledger, number, timestamp=(now - timedelta(seconds=age)).isoformat())
    assert (await collected(Costs(CostsOptions(database=path))))["fleet_cost_recent_invocations"] == 3


async def test_ids_may_be_text(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with sqlite3.connect(path, isolation_level=None) as ledger:
        ledger.execute("CREATE TABLE invocations (id TEXT PRIMARY KEY, timestamp TEXT, model_name TEXT, cost_usd REAL)")
        ledger.execute("INSERT INTO invocations VALUES ('7d3f', '2026-02-06 10:11:12', 'm', 2.0)")
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            assert (await page_of(source))['fleet_cost_spent_usd{period="all"}'] == 2
            ledger.execute("INSERT INTO invocations VALUES ('0001', '2026-02-06 10:11:12', 'm', 1.0)")
            page = await page_of(source)
            assert page['fleet_cost_spent_usd{period="all"}'] == 3
            assert page['fleet_cost_usd_total{model="m",tool="unknown",agent="unknown",status="unknown"}'] == 1
    ledger.close()


async def test_days_are_those_of_utc(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    before = (now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(seconds=1)).isoformat()
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1, timestamp=now.strftime("%Y-%m-%d %H:%M:%S"))
        invoke(ledger, 2, timestamp=now.replace(hour=0, minute=0).isoformat())
        invoke(ledger, 3, timestamp=before)
        invoke(ledger, 4, timestamp="2020-01-01T00:00:00+02:00")
        invoke(ledger, 5, timestamp="whenever")
    source = Costs(CostsOptions(database=path, budget_per_day=2.0))
    page = await collected(source)
    snapshot = await source.collect()

    assert page['fleet_cost_spent_usd{period="day"}'] == 1.0
    assert page['fleet_cost_spent_usd{period="all"}'] == 2.5
    assert page['fleet_cost_spent_usd{period="month"}'] == (1.5 if before[:7] == now.strftime("%Y-%m") else 1.0)
    assert page['fleet_cost_budget_spent_ratio{period="day"}'] == 0.5
    assert 'fleet_cost_budget_usd{period="month"}' not in page
    assert [row["day"] for row in snapshot.by_day(30)] == [now.date().isoformat(), before[:10]]


async def test_an_empty_ledger_is_zero_and_an_unread_one_absent(tmp_path: Path) -> None:
    with writer(tmp_path / "telemetry.db"):
        pass

    page = await collected(Costs(CostsOptions(database=tmp_path / "telemetry.db")))
    assert page['fleet_cost_spent_usd{period="all"}'] == 0
    assert (await failure(tmp_path / "missing.db")).reason is Reason.UNREACHABLE
    assert not (tmp_path / "missing.db").exists()


async def test_it_reads_on_after_gaps_and_from_another_file(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    total, spent = f"fleet_cost_invocations_total{{{WHO}}}", 'fleet_cost_spent_usd{period="all"}'
    source = Costs(CostsOptions(database=path))
    with writer(path) as ledger:
        invoke(ledger, 1)
        async with followed(source):
            await page_of(source)
            invoke(ledger, 2)
            invoke(ledger, 1000, id=5_000_000_000)
            assert (await page_of(source))[total] == 2
            with writer(tmp_path / "new.db") as other:
                for number in range(4):
                    invoke(other, number)
            (tmp_path / "new.db").replace(path)
            page = await page_of(source)
            assert (page[total], page[spent]) == (2, 2.0)
            with writer(path) as other:
                invoke(other, 5)
            assert (await page_of(source))[total] == 3


async def test_a_ledger_that_is_replaced_by_a_damaged_one_and_repaired_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    source = Costs(CostsOptions(database=path, timeout=0.5))
    with writer(path) as ledger:
        invoke(ledger, 1)
    async with followed(source):
        await source.collect()
        path.unlink()
        path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
        for _ in range(2):
            with pytest.raises(SourceError, match="damaged"):
                await source.collect()
        path.unlink()
        with writer(path) as ledger:
            for number in range(3):
                invoke(ledger, number)
        assert (await page_of(source))['fleet_cost_spent_usd{period="all"}'] == 1.5


async def test_a_ledger_that_comes_later_is_read_then(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    source = Costs(CostsOptions(database=path))
    async with followed(source):
        with pytest.raises(SourceError):
            await source.collect()
        with writer(path) as ledger:
            invoke(ledger, 1)
        await page_showing(source, 'fleet_cost_spent_usd{period="all"}', 0.5)


async def test_an_older_schema_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE invocations (id INTEGER PRIMARY KEY, timestamp TEXT, model_name TEXT, cost_usd REAL)")
        old.execute("INSERT INTO invocations VALUES (1, '2026-02-06 10:11:12', 'm', 2.0)")
    page = await collected(Costs(CostsOptions(database=path)))

    assert page['fleet_cost_spent_usd{period="all"}'] == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"hello", Reason.MALFORMED),
        (b"SQLite format 3\x00" + b"\xff" * 4096, Reason.MALFORMED),
    ],
)
async def test_what_is_no_ledger_is_malformed(tmp_path: Path, content: bytes, reason: Reason) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(content)

    assert (await failure(path)).reason is reason
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["telemetry.db"]


async def test_another_schema_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE something (x)")

    assert (await failure(path)).reason is Reason.MALFORMED


async def test_a_ledger_that_its_writer_has_locked_times_out_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1)
        ledger.execute("BEGIN EXCLUSIVE")
        assert (await failure(path)).reason is Reason.TIMEOUT
        ledger.execute("COMMIT")
        assert (await collected(Costs(CostsOptions(database=path))))['fleet_cost_spent_usd{period="all"}'] == 0.5


async def test_in_wal_mode_no_file_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path, wal=True) as ledger:
        invoke(ledger, 1)
        assert (await collected(Costs(CostsOptions(database=path))))['fleet_cost_spent_usd{period="all"}'] == 0.5
    assert [file.name for file in tmp_path.iterdir()] == ["telemetry.db"]

    assert (await collected(Costs(CostsOptions(database=path))))['fleet_cost_spent_usd{period="all"}'] == 0.5
    assert [file.name for file in tmp_path.iterdir()] == ["telemetry.db"]


@pytest.mark.parametrize("wal", [False, True])
async def test_a_writer_without_busy_timeout_never_gets_an_error(tmp_path: Path, wal: bool) -> None:
    path = tmp_path / "telemetry.db"
    met: list[Any] = []
    ended = threading.Event()

    def write() -> None:
        with writer(path, wal=wal) as ledger:
            ledger.execute("PRAGMA busy_timeout = 1000")
            for number in range(400):
                try:
                    invoke(ledger, number)
                except sqlite3.Error as error:
                    met.append(error)
            ended.set()

    with writer(path, wal=wal):
        pass
    source = Costs(CostsOptions(database=path))
    async with followed(source):
        await source.collect()
        thread = threading.Thread(target=write)
        thread.start()
        while not ended.is_set():
            with suppress(SourceError):  # the reader gives way, and on a slow disk it may give up
                await source.collect()
        thread.join()
        await page_showing(source, f"fleet_cost_invocations_total{{{WHO}}}", 400)
    assert met == []
