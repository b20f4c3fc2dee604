"""JSON as Python and other programs write it: the event is kept, and can be encoded again."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.events.decoding import decoded
from exporter.events.model import Event, Message, ValueField, parsed
from exporter.events.redaction import event_view
from tests.events.shapes import BODIES, STORED

ANSWER = "agent.response.completed"
TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates included
PYTHON_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def event(body: bytes) -> Event:
    found = parsed(Message(ANSWER, body, STORED, "S", 7))
    assert isinstance(found, Event)
    return found


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_a_number_that_json_does_not_have_is_absent_and_named(number: str) -> None:
    body = '{"agent_id": "a", "task_id": "T", "duration_ms": %s, "proposal": {"tokens": %s}, "score": %s}'
    found = event((body % (number, number, number)).encode())

    assert (found.agent, found.task, found.duration, found.tokens) == ("a", "T", None, None)
    assert set(found.unreadable) == {ValueField.DURATION, ValueField.TOKENS, ValueField.OTHER}
    assert found.payload["score"] is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_skipped(encoding: str) -> None:
    assert event('{"agent_id": "Zoë"}'.encode(encoding)).agent == "Zoë"


def test_a_lone_surrogate_is_replaced_and_a_pair_is_kept() -> None:
    found = event(rb'{"agent_id": "a\ud800b", "model": "\ud83d\ude00", "\udfff": 1, "task_id": "\\ud800"}')

    assert (found.agent, found.model, found.task) == ("a�b", "😀", r"\ud800")
    assert found.payload["�"] == 1


@given(value=PYTHON_JSON)
def test_json_written_by_python_round_trips(value: Any) -> None:
    found, dropped = decoded(json.dumps(value).encode())

    again = json.loads(msgspec.json.encode(found))
    assert again == json.loads(json.dumps(found))
    if not any(not math.isfinite(number) for number in _floats(value)):
        assert not dropped


@given(body=BODIES, number=st.sampled_from([math.nan, math.inf, -math.inf]), text=TEXTS)
def test_an_event_with_any_such_value_can_be_shown(body: dict[str, Any], number: float, text: str) -> None:
    found = event(json.dumps(body | {"score": number, "note": text}).encode())

    assert ValueField.OTHER in found.unreadable
    msgspec.json.encode(event_view(found, frozenset(), 2000))


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_value_or_invalid_json(data: bytes) -> None:
    try:
        found, _ = decoded(data)
    except ValueError:
        return
    assert json.loads(msgspec.json.encode(found)) == json.loads(json.dumps(found))


def _floats(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for one in inner for number in _floats(one)]
