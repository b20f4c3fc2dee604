"""Task files: fields in every format, and invalid files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.taskboard.task import (
    Column,
    Task,
    TaskLocation,
    UnreadableFile,
    UnreadableReason,
    move_is_legal,
    parsed,
)
from tests.sources.task_files import body

PLACE = TaskLocation(Column.ASSIGNED, "backend", "2026-02-06T1011-backend-fix")


def task(text: str) -> Task:
    found = parsed(PLACE, text.encode())
    assert isinstance(found, Task)
    return found


def test_the_fields_of_a_task() -> None:
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
def test_unusual_fields_are_parsed_or_reported(text: str, field: str, value: object) -> None:
    assert getattr(task(text), field) == value


BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", UnreadableReason.EMPTY),
        (b"   \n", UnreadableReason.EMPTY),
        (b"# a comment only\n", UnreadableReason.EMPTY),
        (b"\xff\xfe", UnreadableReason.NOT_UTF8),
        (b"title: *unquoted star\n", UnreadableReason.NOT_YAML),
        (b"- a\n- b\n", UnreadableReason.NO_MAPPING),
        (b"just text\n", UnreadableReason.NO_MAPPING),
        (b"status: *missing\n", UnreadableReason.NOT_YAML),
        (b"&a {b: *a}\n", None),
        (b"id: 1\n---\nid: 2\n", UnreadableReason.SEVERAL_DOCUMENTS),
        (b"id: !!python/object/apply:os.system ['touch /tmp/owned']\nstatus: done\n", None),
        (BOMB.encode(), None),
    ],
    ids=range(12),
)
def test_invalid_and_malicious_files_are_rejected(content: bytes, reason: UnreadableReason | None) -> None:
    found = parsed(PLACE, content)

    assert isinstance(found, Task) if reason is None else found == UnreadableFile(reason)


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_task_or_have_a_reason(data: bytes) -> None:
    assert isinstance(parsed(PLACE, data), Task | UnreadableFile)


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [("new", "assigned", True), ("inbox", "done", False), ("done", "new", False), ("other", "done", True)],
)
def test_moves(before: str, after: str, legal: bool) -> None:
    assert move_is_legal(before, after) is legal
