"""A task board of real files: what its columns hold, what changes, and files of every bad kind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import Reason as SourceReason
from exporter.errors import SourceError
from exporter.events.broadcast import listening_to
from exporter.events.model import Event
from exporter.sources.taskboard import Taskboard, TaskboardOptions
from exporter.sources.taskboard.task import Column, Place, Reason, Task, Unreadable, move_is_legal, parsed
from tests.support.pages import collected, eventually, followed, page_showing
from tests.support.process import exporter

PLACE = Place(Column.ASSIGNED, "backend", "2026-02-06T1011-backend-fix")
NOW = datetime.now(UTC)


def body(**fields: str) -> str:
    given = {"id": "t-1", "agent": "backend", "status": "assigned", "title": "Fix: it", "priority": "HIGH"} | fields
    return "".join(f"{name}: {value!r}\n" for name, value in given.items())


def put(root: Path, path: str, text: str, *, ago: float = 60.0) -> Path:
    """A file with an old modification time, because recent files may be half-written."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    moment = file.stat().st_mtime - ago
    os.utime(file, (moment, moment))
    return file


def task(text: str) -> Task:
    found = parsed(PLACE, text.encode())
    assert isinstance(found, Task)
    return found


def test_a_task_as_it_is_written() -> None:
    found = task(
        body(created_at="2026-02-06T10:00:00Z", assigned_at="2026-02-06T11:00:00+00:00", estimated_hours="2.5")
        + "context: |\n  id: not this\n  # Markdown\ndependencies:\n  - a\n  - {status: b}\nmode: /programming\n"
    )

    assert (found.id, found.agent, found.status, found.priority, found.mode) == (
        "t-1", "backend", "assigned", "high", "/programming",
    )  # fmt: skip
    assert (found.queued, found.cycle, found.estimate, found.status_mismatch) == (3600, None, 9000, False)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("created: 2026-02-06\n", "created", 1_770_336_000.0),
        ("created: 2026-02-06 10:00:00\n", "created", 1_770_372_000.0),
        ("status: Completed\n", "status", "done"),
        ("status: pending\n", "status", "new"),
        ("status: paused\n", "status", "other"),
        ("title: x\n", "status", "none"),
        ("priority: null\n", "priority", "none"),
        ("title: x\n", "id", PLACE.stem),
        ("estimated_effort_hours: 1\n", "estimate", 3600.0),
        ("estimated_hours: soon\n", "estimate", None),
        ("estimated_hours: '2-3'\n", "estimate", 2.5 * 3600),
        ("estimated_hours: 6-8 hours\n", "estimate", 7 * 3600.0),
        ("estimated_hours: 1 day\n", "estimate", 8 * 3600.0),
        ("estimated_hours: ~30 min\n", "estimate", 1800.0),
        ("estimated_hours: soon\n", "unreadable", ("estimated_hours",)),
        ("created_at: 1770336000\n", "created", 1_770_336_000.0),
        ("created_at: 20/11/2026\n", "unreadable", ("created_at",)),
        ("created_at: 0001-01-01T00:00:00Z\n", "created", None),
        ("status: new\nstatus: done\n", "status", "done"),
        ("status: new\nstatus: null\n", "status", "none"),
        ("x: &s done\nstatus: *s\n", "status", "done"),
        ("x: &m {status: done, id: other}\n<<: *m\nid: mine\n", "status", "done"),
        ("x: &m {status: done, id: other}\n<<: *m\nid: mine\n", "id", "mine"),
        ("a: &a {status: new}\nb: &b {status: done}\n<<: [*b, *a]\n", "status", "done"),
        ("created_at: yesterday\n", "created", None),
    ],
)
def test_odd_fields(text: str, field: str, value: object) -> None:
    assert getattr(task(text), field) == value


BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"   \n", Reason.EMPTY),
        (b"# a comment only\n", Reason.EMPTY),
        (b"\xff\xfe", Reason.NOT_UTF8),
        (b"title: *unquoted star\n", Reason.NOT_YAML),
        (b"- a\n- b\n", Reason.NO_MAPPING),
        (b"just text\n", Reason.NO_MAPPING),
        (b"status: *missing\n", Reason.NOT_YAML),
        (b"&a {b: *a}\n", None),
        (b"id: 1\n---\nid: 2\n", Reason.SEVERAL_DOCUMENTS),
        (b"id: !!python/object/apply:os.system ['touch /tmp/owned']\nstatus: done\n", None),
        (BOMB.encode(), None),
    ],
    ids=range(12),
)
def test_files_that_are_no_tasks_and_files_that_would_do_harm(content: bytes, reason: Reason | None) -> None:
    found = parsed(PLACE, content)

    assert isinstance(found, Task) if reason is None else found == Unreadable(reason)


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_task_or_have_a_reason(data: bytes) -> None:
    assert isinstance(parsed(PLACE, data), Task | Unreadable)


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [("new", "assigned", True), ("inbox", "done", False), ("done", "new", False), ("other", "done", True)],
)
def test_moves(before: str, after: str, legal: bool) -> None:
    assert move_is_legal(before, after) is legal


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
    assert missing.value.reason is SourceReason.UNREACHABLE


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
                """The next change of that kind; how many others a look finds together is the machine's affair."""
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


@pytest.mark.parametrize("temporary", ["sedAbCdEf", "t.yaml.tmp", ".t.swp"])
async def test_a_file_that_is_replaced_at_once_has_changed_once(tmp_path: Path, temporary: str) -> None:
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


async def test_a_file_that_is_being_written_is_no_error_until_it_stays_so(tmp_path: Path) -> None:
    put(tmp_path, "inbox/t.yaml", body(status="new"))
    async with board_at(tmp_path) as source:
        put(tmp_path, "inbox/t.yaml", "id: 'half", ago=0)
        await asyncio.to_thread(lambda: None)
        page = await page_showing(source, 'fleet_board_column_tasks{column="inbox"}', 1)
        assert page['fleet_board_unreadable_files{reason="not_yaml"}'] == 0
        page = await page_showing(source, 'fleet_board_unreadable_files{reason="not_yaml"}', 1)
        assert page['fleet_board_column_tasks{column="inbox"}'] == 0


async def test_a_board_that_goes_and_comes_again_is_followed_again(tmp_path: Path) -> None:
    root = tmp_path / "board"
    put(root, "inbox/a.yaml", body(id="a", status="new"))
    async with board_at(root, rescan_interval=0.2) as source:
        root.rename(tmp_path / "away")

        async def down() -> bool:
            try:
                await source.collect()
            except SourceError as error:
                return error.reason is SourceReason.UNREACHABLE
            return False

        await eventually(down)
        put(root, "inbox/b.yaml", body(id="b", status="new"))
        put(root, "inbox/c.yaml", body(id="c", status="new"))
        await page_showing(source, 'fleet_board_column_tasks{column="inbox"}', 2)


async def test_the_api_and_the_live_stream_without_any_nats(tmp_path: Path) -> None:
    put(tmp_path, "inbox/a.yaml", body(id="a", status="new"))
    put(tmp_path, "done/backend/b.yaml", body(id="b", status="done"))
    with exporter(f"--taskboard.root={tmp_path}") as running:
        async with httpx.AsyncClient(timeout=20) as client:
            await client.get(f"{running.url}/metrics")
            columns = (await client.get(f"{running.url}/api/tasks")).json()
            assert [one["id"] for one in columns["inbox"]] == ["a"]
            assert [one["status"] for one in columns["done"]["backend"]] == ["done"]
            assert (await client.get(f"{running.url}/api/stats")).json()["tasks"]["total"] == 2
            async with client.stream("GET", f"{running.url}/api/events/stream", params={"family": "board"}) as reply:
                lines = reply.aiter_lines()
                await anext(lines)
                put(tmp_path, "inbox/c.yaml", body(id="c", status="new"))
                async for line in lines:
                    if line.startswith("data: "):
                        assert '"task":"c"' in line
                        break
