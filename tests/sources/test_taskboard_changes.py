"""Changes on a task board: published steps, observed times, and files that are being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import Reason, SourceError
from exporter.events.broadcast import listening_to
from exporter.events.model import Event
from exporter.sources.taskboard import Taskboard, TaskboardOptions
from tests.sources.task_files import body, put
from tests.support.pages import eventually, followed, page_showing

NOW = datetime.now(UTC)


@asynccontextmanager
async def board_at(root: Path, **options: Any) -> AsyncIterator[Taskboard]:
    source = Taskboard(TaskboardOptions(root=root, **options))
    async with followed(source):
        await source.wait_synced()
        yield source


async def test_each_step_of_a_task_is_published(tmp_path: Path) -> None:
    created = (NOW - timedelta(hours=2)).isoformat()
    times = {"assigned_at": (NOW - timedelta(hours=1)).isoformat(), "completed_at": NOW.isoformat()}
    for folder in ("inbox", "assigned/backend", "done/backend"):
        (tmp_path / folder).mkdir(parents=True)
    async with board_at(tmp_path) as source:
        with listening_to([source.live]) as listening:

            async def published(kind: str) -> Event:
                """The next change of this kind; the number of other changes in the same scan depends on the machine."""
                while True:
                    event = await listening.next()
                    assert event is not None
                    if event.kind == kind:
                        return event

            file = put(tmp_path, "inbox/t.yaml", body(status="new", created_at=created))
            event = await published("task.created")
            assert (event.task, event.family, event.agent) == ("t-1", "board", "backend")
            put(tmp_path, "inbox/t.yaml", body(status="assigned", created_at=created, **times))
            file.rename(tmp_path / "assigned/backend/t.yaml")
            await published("task.assigned")
            put(tmp_path, "assigned/backend/t.yaml", body(status="blocked", created_at=created, **times))
            await published("task.updated")
            put(tmp_path, "assigned/backend/t.yaml", body(status="done", created_at=created, **times))
            (tmp_path / "assigned/backend/t.yaml").rename(tmp_path / "done/backend/t.yaml")
            await published("task.completed")
        page = await page_showing(source, 'fleet_board_column_tasks{column="done"}', 1)
        assert page["fleet_board_cycle_duration_seconds_sum"] == pytest.approx(7200)
        assert page["fleet_board_queue_duration_seconds_sum"] == pytest.approx(3600)
        assert page["fleet_board_illegal_moves_total"] == 1  # blocked → done


@pytest.mark.parametrize("temporary", ["sedAbCdEf", "t.yaml.tmp", ".t.swp"])
async def test_an_atomically_replaced_file_is_one_change(tmp_path: Path, temporary: str) -> None:
    put(tmp_path, "inbox/t.yaml", body(status="done"))
    put(tmp_path, "inbox/other.yaml", body(id="o", status="new"))
    async with board_at(tmp_path) as source:
        for status in ("new", "blocked"):  # both are illegal
            put(tmp_path, f"inbox/{temporary}", body(status=status)).replace(tmp_path / "inbox/t.yaml")
            name = f'fleet_board_tasks{{column="inbox",agent="backend",priority="high",status="{status}"}}'
            await page_showing(source, name, 2 if status == "new" else 1)
        put(tmp_path, "inbox/last.yaml", body(id="l", status="new"))
        page = await page_showing(source, 'fleet_board_column_tasks{column="inbox"}', 3)
    assert page['fleet_board_changes_total{kind="updated"}'] == 2
    assert page["fleet_board_illegal_moves_total"] == 2


@pytest.mark.parametrize("moved_first", [True, False])
async def test_times_are_observed_once_in_any_order_of_edits(tmp_path: Path, moved_first: bool) -> None:
    created = {"created_at": (NOW - timedelta(hours=2)).isoformat()}
    done = created | {"assigned_at": (NOW - timedelta(hours=1)).isoformat(), "completed_at": NOW.isoformat()}
    (tmp_path / "done/backend").mkdir(parents=True)
    (tmp_path / "assigned/backend").mkdir(parents=True)
    before, after = "assigned/backend/t.yaml", "done/backend/t.yaml"
    file = put(tmp_path, before, body(status="in_progress", **created))
    async with board_at(tmp_path) as source:
        if moved_first:
            file.rename(tmp_path / after)
            await page_showing(source, 'fleet_board_column_tasks{column="done"}', 1)
            put(tmp_path, after, body(status="done", **done))
        else:
            put(tmp_path, before, body(status="done", **done))
            await page_showing(source, 'fleet_board_changes_total{kind="updated"}', 1)
            file.rename(tmp_path / after)
        page = await page_showing(source, "fleet_board_cycle_duration_seconds_count", 1)
        assert page["fleet_board_cycle_duration_seconds_sum"] == pytest.approx(7200)
        assert page["fleet_board_queue_duration_seconds_sum"] == pytest.approx(3600)
        (tmp_path / after).rename(tmp_path / before)  # reopened, with its old times
        await page_showing(source, 'fleet_board_column_tasks{column="assigned"}', 1)
        (tmp_path / before).rename(tmp_path / after)
        page = await page_showing(source, 'fleet_board_column_tasks{column="done"}', 1)
        assert page["fleet_board_cycle_duration_seconds_count"] == 1
        assert page["fleet_board_queue_duration_seconds_count"] == 1


async def test_a_half_written_file_is_an_error_only_if_it_stays_so(tmp_path: Path) -> None:
    put(tmp_path, "inbox/t.yaml", body(status="new"))
    async with board_at(tmp_path) as source:
        put(tmp_path, "inbox/t.yaml", "id: 'half", ago=0)
        await asyncio.to_thread(lambda: None)
        page = await page_showing(source, 'fleet_board_column_tasks{column="inbox"}', 1)
        assert page['fleet_board_unreadable_files{reason="not_yaml"}'] == 0
        page = await page_showing(source, 'fleet_board_unreadable_files{reason="not_yaml"}', 1)
        assert page['fleet_board_column_tasks{column="inbox"}'] == 0


async def test_a_recreated_board_is_watched_again(tmp_path: Path) -> None:
    root = tmp_path / "board"
    put(root, "inbox/a.yaml", body(id="a", status="new"))
    async with board_at(root, rescan_interval=0.2) as source:
        root.rename(tmp_path / "away")

        async def down() -> bool:
            try:
                await source.collect()
            except SourceError as error:
                return error.reason is Reason.UNREACHABLE
            return False

        await eventually(down)
        put(root, "inbox/b.yaml", body(id="b", status="new"))
        put(root, "inbox/c.yaml", body(id="c", status="new"))
        await page_showing(source, 'fleet_board_column_tasks{column="inbox"}', 2)
