"""The cost ledger on real SQLite files: what it adds up to, and that its writer never notices."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.costs import Costs
from tests.sources.ledgers import invoke, writer
from tests.support.pages import collected, run, series

WHO = 'model="m",tool="chat",agent="coder",status="success"'


def failure(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        collected(Costs(database=path, timeout=0.5))
    return caught.value


def test_what_a_ledger_adds_up_to(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1)
        invoke(ledger, 2, latency_ms=3000, cost_usd=None)
        invoke(ledger, 3, agent_name=None, status="error", latency_ms=None, model_name="other-model")
        page = collected(Costs(database=path))

    assert page[f"fleet_cost_invocations_total{{{WHO}}}"] == 2
    assert page[f"fleet_cost_prompt_tokens_total{{{WHO}}}"] == 20
    assert page[f"fleet_cost_completion_tokens_total{{{WHO}}}"] == 10
    assert page[f"fleet_cost_usd_total{{{WHO}}}"] == 0.5
    assert page['fleet_cost_invocations_total{model="other-model",tool="chat",agent="unknown",status="error"}'] == 1
    assert page['fleet_cost_latency_seconds_bucket{model="m",le="0.5"}'] == 1
    assert page['fleet_cost_latency_seconds_bucket{model="m",le="5.0"}'] == 2
    assert page['fleet_cost_latency_seconds_sum{model="m"}'] == 3.3
    assert page["fleet_cost_recent_invocations"] == 3
    assert page["fleet_cost_last_invocation_timestamp_seconds"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert not list(tmp_path.glob("*-wal"))


def test_days_are_those_of_utc_in_both_shapes_of_time(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    before = (now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(seconds=1)).isoformat()
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1, timestamp=now.strftime("%Y-%m-%d %H:%M:%S"))
        invoke(ledger, 2, timestamp=now.replace(hour=0, minute=0).isoformat())
        invoke(ledger, 3, timestamp=before)
        invoke(ledger, 4, timestamp="2020-01-01T00:00:00+02:00")
        invoke(ledger, 5, timestamp="whenever")
    source = Costs(database=path, budget_per_day=2.0)
    page = collected(source)

    assert page['fleet_cost_spent_usd{period="day"}'] == 1.0
    assert page['fleet_cost_spent_usd{period="all"}'] == 2.5
    assert page['fleet_cost_spent_usd{period="month"}'] == (1.5 if before[:7] == now.strftime("%Y-%m") else 1.0)
    assert page['fleet_cost_budget_spent_ratio{period="day"}'] == 0.5
    assert 'fleet_cost_budget_usd{period="month"}' not in page
    assert [row["day"] for row in source.by_day(30)] == [now.date().isoformat(), before[:10]]


def test_an_empty_ledger_is_zero_and_an_unread_one_absent(tmp_path: Path) -> None:
    with writer(tmp_path / "telemetry.db"):
        pass

    assert collected(Costs(database=tmp_path / "telemetry.db"))['fleet_cost_spent_usd{period="all"}'] == 0
    assert failure(tmp_path / "missing.db").reason is Reason.UNREACHABLE
    assert not (tmp_path / "missing.db").exists()


def test_it_reads_on_and_begins_anew_with_another_file(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    total = f"fleet_cost_invocations_total{{{WHO}}}"

    async def main() -> None:
        source = Costs(database=path)
        with writer(path) as ledger:
            invoke(ledger, 1)
            await source.run()
            assert series(await source.collect())[total] == 1
            invoke(ledger, 2)
            invoke(ledger, 1000, id=5_000_000_000)
            assert series(await source.collect())[total] == 3
            ledger.execute("DELETE FROM invocations WHERE id > 1")
            assert series(await source.collect())[total] == 1
        with writer(tmp_path / "new.db") as ledger:
            for number in range(4):
                invoke(ledger, number)
        (tmp_path / "new.db").replace(path)
        assert series(await source.collect())[total] == 4

    run(main())


def test_a_ledger_that_is_replaced_by_a_damaged_one_and_mended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"

    async def main() -> None:
        source = Costs(database=path, timeout=0.5)
        with writer(path) as ledger:
            invoke(ledger, 1)
        await source.run()
        path.unlink()
        path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
        for _ in range(2):
            with pytest.raises(SourceError, match="damaged"):
                await source.collect()
        with pytest.raises(SourceError, match="damaged"):
            source.by_day(1)
        path.unlink()
        with writer(path) as ledger:
            for number in range(3):
                invoke(ledger, number)
        assert series(await source.collect())['fleet_cost_spent_usd{period="all"}'] == 1.5
        assert source.by_day(1)

    run(main())


def test_a_ledger_that_comes_later_is_read_then(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"

    async def main() -> None:
        source = Costs(database=path)
        following = asyncio.create_task(source.run())
        with pytest.raises(SourceError):
            await source.collect()
        with writer(path) as ledger:
            invoke(ledger, 1)
        await following
        assert series(await source.collect())['fleet_cost_spent_usd{period="all"}'] == 0.5

    run(main())


def test_an_older_schema_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE invocations (id INTEGER PRIMARY KEY, timestamp TEXT, model_name TEXT, cost_usd REAL)")
        old.execute("INSERT INTO invocations VALUES (1, '2026-02-06 10:11:12', 'm', 2.0)")
    page = collected(Costs(database=path))

    assert page['fleet_cost_usd_total{model="m",tool="unknown",agent="unknown",status="unknown"}'] == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"hello", Reason.MALFORMED),
        (b"SQLite format 3\x00" + b"\xff" * 4096, Reason.MALFORMED),
    ],
)
def test_what_is_no_ledger_is_malformed(tmp_path: Path, content: bytes, reason: Reason) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(content)

    assert failure(path).reason is reason
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["telemetry.db"]


def test_another_schema_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE something (x)")

    assert failure(path).reason is Reason.MALFORMED


def test_a_ledger_that_its_writer_has_locked_times_out_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1)
        ledger.execute("BEGIN EXCLUSIVE")
        assert failure(path).reason is Reason.TIMEOUT
        ledger.execute("COMMIT")
        assert collected(Costs(database=path))['fleet_cost_spent_usd{period="all"}'] == 0.5


def test_in_wal_mode_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path, wal=True) as ledger:
        invoke(ledger, 1)
        assert collected(Costs(database=path))['fleet_cost_spent_usd{period="all"}'] == 0.5
    assert [file.name for file in tmp_path.iterdir()] == ["telemetry.db"]

    assert collected(Costs(database=path))['fleet_cost_spent_usd{period="all"}'] == 0.5
    assert [file.name for file in tmp_path.iterdir()] == ["telemetry.db"]


@pytest.mark.parametrize("wal", [False, True])
def test_a_writer_that_waits_for_nothing_never_meets_an_error(tmp_path: Path, wal: bool) -> None:
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

    async def main() -> None:
        source = Costs(database=path)
        await source.run()
        thread = threading.Thread(target=write)
        thread.start()
        while not ended.is_set():
            await source.collect()
        thread.join()
        assert series(await source.collect())[f"fleet_cost_invocations_total{{{WHO}}}"] == 400

    run(main())
    assert met == []
