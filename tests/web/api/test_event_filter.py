"""Event filters: spans and times, and a fast check without false negatives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.events.model import Event, Message, parsed
from exporter.web.api.filter import EventFilter, moment, span
from tests.events.shapes import BODIES, SUBJECTS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25), ("5", None), ("m", None)],
)
def test_spans(text: str, seconds: float | None) -> None:
    assert span(text) == seconds


def test_moments() -> None:
    assert moment("5m", 1000) == 700
    assert moment("2025-11-20T10:00:00Z", 0) == 1_763_632_800


_WANTED = st.builds(
    EventFilter,
    story=st.none() | st.sampled_from(["US-1", "7", "ü", 'a"b', "t/US-1"]),
    agent=st.none() | st.text(max_size=5),
    q=st.none() | st.text(max_size=3),
    subject=st.none() | st.sampled_from(["planning.>", "*.x", "agent.response.*"]),
)


@pytest.mark.parametrize("text", [r"team\/US-1", r"team\u002fUS-1", r"\u0074eam/US-1"])
def test_an_escaped_id_is_found(text: str) -> None:
    message = Message("planning.story.created", f'{{"story_id": "{text}"}}'.encode(), 0.0)
    event = parsed(message)
    wanted = EventFilter(story="team/US-1")

    assert isinstance(event, Event)
    assert wanted.matches(event)
    assert wanted.may_match(message)


def test_a_missing_id_does_not_decode_every_non_ascii_text() -> None:
    message = Message("planning.story.created", json.dumps({"story_id": "US-2", "title": "señal\n"}).encode(), 0.0)

    assert not EventFilter(story="US-1").may_match(message)


@given(subject=SUBJECTS, body=BODIES, wanted=_WANTED, escaped=st.sets(st.sampled_from("/US1-"), max_size=2))
def test_the_fast_path_never_skips_a_match(
    subject: str, body: dict[str, Any], wanted: EventFilter, escaped: set[str]
) -> None:
    text = json.dumps(body)
    for character in escaped:
        text = text.replace(character, "\\/" if character == "/" else f"\\u{ord(character):04x}")
    message = Message(subject, text.encode(), 0.0)
    event = parsed(message)

    if isinstance(event, Event) and wanted.matches(event):
        assert wanted.may_match(message)
