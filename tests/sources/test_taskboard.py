"""A task board of real files: its columns as series, other files and folders, and the API."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.taskboard import Taskboard, TaskboardOptions
from tests.sources.task_files import body, put
from tests.support.pages import collected
from tests.support.process import exporter

NOW = datetime.now(UTC)


async def test_the_board_as_series(tmp_path: Path) -> None:
    created = (NOW - timedelta(hours=5)).isoformat()
    put(tmp_path, "inbox/a.yaml", body(id="a", status="new", created_at=created, estimated_hours="2"))
    put(tmp_path, "assigned/backend/b.yml", body(id="b", status="in_progress"))
    done = {"created_at": created, "completed_at": (NOW - timedelta(hours=1)).isoformat()}
    put(tmp_path, "done/backend/c.yaml", body(id="c", status="assigned", **done))
    put(tmp_path, "done/backend/notes.md", "no task")
    put(tmp_path, "inbox/bad.yaml", "x: *y z")
    put(tmp_path, "archive/2026/old.yaml", body())
    page = await collected(Taskboard(TaskboardOptions(root=tmp_path)))

    assert page['fleet_board_tasks{column="assigned",agent="backend",priority="high",status="in_progress"}'] == 1
    assert page['fleet_board_column_tasks{column="inbox"}'] == 1
    assert page['fleet_board_oldest_task_timestamp_seconds{column="inbox"}'] == datetime.fromisoformat(created).timestamp()
    assert page["fleet_board_status_mismatch_tasks"] == 1
    assert page['fleet_board_unreadable_files{reason="not_yaml"}'] == 1
    assert page["fleet_board_estimated_open_seconds"] == 7200
    assert page["fleet_board_median_cycle_seconds"] == 4 * 3600
    assert page["fleet_board_cycle_duration_seconds_count"] == 0  # completed before the start
    assert page['fleet_board_side_files{folder="archive"}'] == 1
    assert page['fleet_board_changes_total{kind="created"}'] == 0


async def test_an_empty_board_is_zero_and_a_missing_one_is_down(tmp_path: Path) -> None:
    assert (await collected(Taskboard(TaskboardOptions(root=tmp_path))))['fleet_board_column_tasks{column="done"}'] == 0
    with pytest.raises(SourceError) as missing:
        await collected(Taskboard(TaskboardOptions(root=tmp_path / "nowhere")))
    assert missing.value.reason is Reason.UNREACHABLE


async def test_links_are_not_followed_and_large_files_not_read(tmp_path: Path) -> None:
    root = tmp_path / "board"
    put(tmp_path, "outside.yaml", body())
    (root / "inbox").mkdir(parents=True)
    (root / "inbox/link.yaml").symlink_to(tmp_path / "outside.yaml")
    (root / "assigned").mkdir()
    (root / "assigned/loop").symlink_to(root / "assigned")
    with (root / "inbox/large.yaml").open("wb") as large:
        large.truncate(50 * 1024 * 1024)
    os.utime(root / "inbox/large.yaml", (1e9, 1e9))
    page = await collected(Taskboard(TaskboardOptions(root=root)))

    assert page['fleet_board_unreadable_files{reason="too_large"}'] == 1
    assert page['fleet_board_column_tasks{column="inbox"}'] == 0


async def test_files_at_any_depth_links_duplicates_and_other_folders_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "assigned/a/sub/x.yaml", body(id="x", status="assigned"))
    put(tmp_path, "done/x.yaml", body(id="x", status="done"))
    put(tmp_path, "done/b/late.yaml", body(id="l", status="done", created_at="2026-02-06", assigned_at="2026-02-05"))
    put(tmp_path, "inbox/new.yaml", body(id="n", status="new", estimated_hours="soon", created_at="20/11/2026"))
    put(tmp_path, "backups/2026/x.yaml", body())
    (tmp_path / "inbox/link.yaml").symlink_to(tmp_path / "done/x.yaml")
    page = await collected(Taskboard(TaskboardOptions(root=tmp_path)))

    assert page['fleet_board_tasks{column="assigned",agent="a",priority="high",status="assigned"}'] == 1
    assert page['fleet_board_column_tasks{column="done"}'] == 2
    assert page["fleet_board_duplicate_tasks"] == 2
    assert page["fleet_board_misordered_tasks"] == 1
    assert page["fleet_board_unestimated_tasks"] == 2
    assert page['fleet_exporter_unreadable_values{source="taskboard",field="estimated_hours"}'] == 1
    assert page['fleet_exporter_unreadable_values{source="taskboard",field="created_at"}'] == 1
    assert page['fleet_board_unreadable_files{reason="symlink"}'] == 1
    assert page['fleet_board_side_files{folder="backups"}'] == 1
    assert page['fleet_board_side_files{folder="fridge"}'] == 0


async def test_the_api_and_the_live_stream_work_without_nats(tmp_path: Path) -> None:
    put(tmp_path, "inbox/a.yaml", body(id="a", status="new"))
    put(tmp_path, "done/backend/b.yaml", body(id="b", status="done"))
    with exporter(f"--taskboard.root={tmp_path}") as running:
        async with httpx.AsyncClient(timeout=20) as client:
            await client.get(f"{running.url}/metrics")
            columns = (await client.get(f"{running.url}/api/tasks")).json()
            assert [one["id"] for one in columns["inbox"]] == ["a"]
            assert [one["status"] for one in columns["done"]["backend"]] == ["done"]
            assert (await client.get(f"{running.url}/api/stats")).json()["tasks"]["total"] == 2
            async with client.stream("GET", f"{running.url}/api/events/stream", params={"family": "board"}) as response:
                lines = response.aiter_lines()
                await anext(lines)
                put(tmp_path, "inbox/c.yaml", body(id="c", status="new"))
                async for line in lines:
                    if line.startswith("data: "):
                        assert '"task":"c"' in line
                        break
