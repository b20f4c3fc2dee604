"""Events as Loki entries: labels, line and time; and Loki's responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.events.model import Message
from exporter.sources.loki.entries import (
    Entry,
    LineStyle,
    LokiPosition,
    batches,
    entry,
    label_limiter,
    last_position,
    push_body,
)

STYLE = LineStyle(frozenset({"password"}), 40, 400)


NOW = 1_763_632_800.0


def message(sequence: int, body: Any, stored: float = NOW) -> Message:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message("agent.response.completed", data, stored, "AGENT_RESPONSES", sequence)


def entered(one: Message, position: LokiPosition | None = None) -> Entry:
    return entry(one, position or LokiPosition(), STYLE, label_limiter())


def test_ids_are_metadata_and_never_labels() -> None:
    found = entered(message(7, {"task_id": "T", "story_id": "US-1", "agent_id": "agent-dev-1", "model": "Q"}))

    assert dict(found.labels) == {"stream": "AGENT_RESPONSES", "family": "agent", "outcome": "completed", "role": "DEV"}
    assert found.metadata == {
        "subject": "agent.response.completed",
        "sequence": "7",
        "type": "agent.response.completed",
        "producer": "ray-executor",
        "story": "US-1",
        "task": "T",
        "agent": "agent-dev-1",
    }


def test_secrets_are_redacted_and_long_texts_truncated() -> None:
    line = entered(message(1, {"Password": "hunter2", "deep": [{"password": "hunter2"}], "proposal": "x" * 100})).line

    assert "hunter2" not in line
    assert "x" * 41 not in line
    assert "(100 characters)" in line


def test_a_line_has_a_maximum_size() -> None:
    assert len(entered(message(1, {f"k{number}": "x" * 30 for number in range(50)})).line) < 430


def test_unparsed_messages_are_copied() -> None:
    found = entered(message(1, b"\xff not json"))

    assert dict(found.labels)["outcome"] == "unparsed"
    assert found.metadata["reason"] == "not_json"
    assert found.line.endswith("not json")


def test_timestamps_increase_strictly_for_equal_lines() -> None:
    first = entered(message(1, {}))
    second = entered(message(2, {}), LokiPosition(1, first.nanoseconds))

    assert second.nanoseconds == first.nanoseconds + 1
    assert entered(message(2, {}, NOW + 1), LokiPosition(1, first.nanoseconds)).nanoseconds == first.nanoseconds + 10**9


@given(data=st.binary(max_size=200), sequence=st.integers(1, 10**9))
def test_anything_can_be_copied(data: bytes, sequence: int) -> None:
    body = json.loads(push_body([entered(message(sequence, data))]))

    [[moment, line, metadata]] = body["streams"][0]["values"]
    assert (int(moment), metadata["sequence"], type(line)) == (int(NOW * 1e9), str(sequence), str)


def test_the_last_position_in_a_reply() -> None:
    results = [
        {"stream": {"stream": "A", "sequence": "4"}, "values": [["100", "x"]]},
        {"stream": {"stream": "A", "sequence": "5"}, "values": [["101", "y"]]},
    ]

    assert last_position(json.dumps({"data": {"result": results}}).encode()) == LokiPosition(5, 101)
    assert last_position(b'{"data":{"result":[]}}') == LokiPosition()
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the decoder calls it
        last_position(b"<html>")


@given(st.lists(st.integers(1, 5000), max_size=50), st.integers(1024, 20_000))
def test_batches_hold_every_entry_in_order_and_no_more_bytes_than_the_limit(sizes: list[int], limit: int) -> None:
    entries = [Entry((), number, "x" * size, {}, number) for number, size in enumerate(sizes)]
    found = list(batches(entries, limit))

    assert [one for batch in found for one in batch] == entries
    assert all(sum(one.size for one in batch) <= limit or len(batch) == 1 for batch in found)


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "hunter2", "cut',
        '[{"password":"hunter2"}]',
        '{"a": NaN, "password": "hunter2"}',
        r'{"inner": "{\"password\": \"hunter2\"}", "cut',
        "password=hunter2 other=1",
        "{'password': 'hunter2', 'cut",
    ],
)
def test_a_payload_that_is_not_parsed_is_redacted(text: str) -> None:
    assert "hunter2" not in entered(message(1, text.encode())).line


def test_json_within_a_string_is_redacted() -> None:
    line = entered(message(1, {"arguments": json.dumps({"password": "hunter2", "n": 1})})).line

    assert "hunter2" not in line
