"""Cost ledgers that are missing, damaged, locked or of another schema, and a writer that never gets an error."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.costs import Costs, CostsOptions
from tests.sources.ledgers import LABELS, invoke, writer
from tests.support.pages import collected, followed, page_now, page_showing


async def failure(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await collected(Costs(CostsOptions(database=path, timeout=0.5)))
    return caught.value


async def test_an_empty_ledger_is_zero_and_an_unread_one_absent(tmp_path: Path) -> None:
    with writer(tmp_path / "telemetry.db"):
        pass

    page = await collected(Costs(CostsOptions(database=tmp_path / "telemetry.db")))
    assert page['fleet_cost_spent_usd{period="all"}'] == 0
    assert (await failure(tmp_path / "missing.db")).reason is Reason.UNREACHABLE
    assert not (tmp_path / "missing.db").exists()


async def test_a_ledger_is_read_again_after_it_was_damaged_and_repaired(tmp_path: Path) -> None:
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
        assert (await page_now(source))['fleet_cost_spent_usd{period="all"}'] == 1.5


async def test_a_ledger_created_later_is_read(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    source = Costs(CostsOptions(database=path))
    async with followed(source):
        with pytest.raises(SourceError):
            await source.collect()
        with writer(path) as ledger:
            invoke(ledger, 1)
        await page_showing(source, 'fleet_cost_spent_usd{period="all"}', 0.5)


async def test_an_older_schema_is_read_without_its_missing_columns(tmp_path: Path) -> None:
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
async def test_a_file_that_is_not_a_ledger_is_malformed(tmp_path: Path, content: bytes, reason: Reason) -> None:
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


async def test_a_locked_ledger_times_out_and_recovers(tmp_path: Path) -> None:
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
        await page_showing(source, f"fleet_cost_invocations_total{{{LABELS}}}", 400)
    assert met == []
