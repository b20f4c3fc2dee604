"""Totals of the cost ledger: formats of times, IDs and numbers, UTC days, and changed rows."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.sources.costs import Costs, CostsOptions
from tests.sources.ledgers import invoke, writer
from tests.support.pages import collected, followed, page_now, page_showing


async def test_corrected_and_deleted_rows_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        for number in range(3):
            invoke(ledger, number)
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            await page_now(source)
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
        now.strftime("%Y-%m-%d %H:%M:%S.%f000 +0000 UTC m=+0.000012"),
    ]


async def test_every_time_format_is_parsed_and_others_are_counted(tmp_path: Path) -> None:
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


async def test_invalid_values_do_not_corrupt_the_sums(tmp_path: Path) -> None:
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


async def test_recent_invocations_are_those_of_five_minutes(tmp_path: Path) -> None:
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
            assert (await page_now(source))['fleet_cost_spent_usd{period="all"}'] == 2
            ledger.execute("INSERT INTO invocations VALUES ('0001', '2026-02-06 10:11:12', 'm', 1.0)")
            page = await page_now(source)
            assert page['fleet_cost_spent_usd{period="all"}'] == 3
            assert page['fleet_cost_usd_total{model="m",tool="unknown",agent="unknown",status="unknown"}'] == 1
    ledger.close()


async def test_days_are_in_utc(tmp_path: Path) -> None:
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
