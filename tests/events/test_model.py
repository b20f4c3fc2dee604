"""Parsing of every event format of the fleet; no input raises an exception."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.events.model import LARGEST, Event, Message, Unparsed, UnparsedReason, parsed
from exporter.events.timestamps import event_time
from exporter.events.values import role_of
from exporter.metrics.timestamps import instant
from tests.events.shapes import BODIES, EPOCH, SHAPES, STORED, SUBJECTS, TIME


def event(subject: str, body: Any, *, stored: float = STORED) -> Event:
    found = parsed(Message(subject, json.dumps(body).encode(), stored, "S", 7))
    assert isinstance(found, Event)
    return found


@pytest.mark.parametrize(("subject", "body", "expected"), SHAPES, ids=[f"{n}-{row[0]}" for n, row in enumerate(SHAPES)])
def test_every_shape(subject: str, body: dict[str, Any], expected: dict[str, Any]) -> None:
    found = event(subject, body)

    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.subject, found.stream, found.sequence, found.stored) == (subject, "S", 7, STORED)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", UnparsedReason.EMPTY),
        (b"hello", UnparsedReason.NOT_JSON),
        (b"\xff\xfe", UnparsedReason.NOT_JSON),
        (b'{"a":', UnparsedReason.NOT_JSON),
        (b"[" * 100_000, UnparsedReason.NOT_JSON),
        (b"[1]", UnparsedReason.NOT_AN_OBJECT),
        (b"null", UnparsedReason.NOT_AN_OBJECT),
        (b" " * (LARGEST + 1), UnparsedReason.TOO_LARGE),
    ],
    ids=range(8),
)
def test_messages_that_are_not_events(body: bytes, reason: UnparsedReason) -> None:
    assert parsed(Message("x", body, STORED)) == Unparsed("x", reason, len(body), "", 0, STORED)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2025-11-20T10:00:00Z", EPOCH),
        ("2025-11-20T10:00:00+00:00Z", EPOCH),
        ("2025-11-20T11:00:00+01:00", EPOCH),
        ("2025-11-20 10:00:00", EPOCH),
        (EPOCH, EPOCH),
        (int(EPOCH * 1000), EPOCH),
        (int(EPOCH * 1e9), EPOCH),
        (str(EPOCH), EPOCH),
        (12345.6, None),
        (-1, None),
        (True, None),
        ("yesterday", None),
        ("9" * 5000, None),
        (10**400, None),
        (None, None),
        ([], None),
    ],
    ids=range(16),
)
def test_every_shape_of_time(written: Any, seconds: float | None) -> None:
    assert instant(written)[0] == seconds


ZONE = timezone(timedelta(hours=-7))


@pytest.mark.parametrize(
    "shape",
    [
        "%Y-%m-%dT%H:%M:%S%z",
        "%Y-%m-%dT%H:%M:%S.123456789%z",
        "%Y-%m-%d %H:%M:%S %z",
        "%Y-%m-%d %H:%M:%S %z MST",
        "%Y-%m-%d %H:%M:%S.5 %z MST m=+0.000012",
        "%Y/%m/%d %H:%M:%S%z",
        "%Y%m%dT%H%M%S%z",
        "%a %b %d %Y %H:%M:%S GMT%z (Mountain Standard Time)",
        "%a, %d %b %Y %H:%M:%S %z",
        "%a %b %d %H:%M:%S %z %Y",
        "%A, %d-%b-%y %H:%M:%S %z",
        "%d %b %Y %H:%M:%S %z",
    ],
)
@given(seconds=st.integers(1_000_000_001, 4_000_000_000))
def test_every_shape_of_every_second_is_read(shape: str, seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, ZONE)
    found, zoned = instant(moment.strftime(shape))
    assert found is not None
    assert (int(found), zoned) == (seconds, True)


@given(seconds=st.integers(1_000_000_001, 4_000_000_000), unit=st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_epochs_of_every_unit_are_read_as_number_and_as_text(seconds: int, unit: int) -> None:
    for value in (seconds * unit, str(seconds * unit)):
        assert instant(value)[0] == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["11/10/2025", "20/11/2026", "2025-11-20 10:00:00 CET", "Thu Nov 20 10:00:00 CET 2025", "0001-01-01T00:00:00Z", "2-3"],
)
def test_an_ambiguous_time_is_none(text: str) -> None:
    assert instant(text)[0] is None


@given(text=st.text(max_size=90) | st.from_regex(r"[0-9A-Za-z:+\-/., ()]{0,60}", fullmatch=True))
def test_any_text_is_a_time_or_none(text: str) -> None:
    found, _ = instant(text)
    assert found is None or found > 0


@pytest.mark.parametrize(
    "text", ["2025-11-20T18:00:00", "2025-11-20T02:00:00", "2025-11-20T10:02:00Z", "2025-11-10T10:00:00Z", 4e9, 1e9]
)
def test_an_implausible_event_time_is_ignored(text: Any) -> None:
    assert event_time({"timestamp": text}, STORED) is None


def test_a_null_time_falls_back_to_the_next_field() -> None:
    assert event_time({"timestamp": None, "started_at": TIME}, STORED) == EPOCH


@pytest.mark.parametrize(
    ("written", "role"),
    [("dev", "DEV"), ("Developer", "DEV"), (" qa ", "QA"), ("product owner", "PRODUCT_OWNER"), ("", None), ("x" * 41, None)],
)
def test_a_role_has_one_name(written: str, role: str | None) -> None:
    assert role_of(written) == role


@given(subject=st.text(max_size=40), data=st.binary(max_size=300))
def test_any_bytes_are_an_event_or_have_a_reason(subject: str, data: bytes) -> None:
    assert isinstance(parsed(Message(subject, data, STORED)), Event | Unparsed)


@given(subject=SUBJECTS, body=BODIES)
def test_any_object_is_an_event(subject: str, body: dict[str, Any]) -> None:
    found = parsed(Message(subject, json.dumps(body, allow_nan=True).encode(), STORED))

    assert isinstance(found, Event | Unparsed)
    if isinstance(found, Event):
        assert found.duration is None or 0 <= found.duration < 1e7
        assert all(value is None or 0 < len(value) <= 200 for value in (found.story, found.task, found.agent, found.model))
