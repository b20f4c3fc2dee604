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
    story=st.none() | st.sampled_from(["US-1", "7", "ü", 'a"b']),
    agent=st.none() | st.text(max_size=5),
    q=st.none() | st.text(max_size=3),
    subject=st.none() | st.sampled_from(["planning.>", "*.x", "agent.response.*"]),
)


@given(subject=SUBJECTS, body=BODIES, wanted=_WANTED)
def test_the_quick_look_never_passes_over_what_matches(subject: str, body: dict[str, Any], wanted: EventFilter) -> None:
    message = Message(subject, json.dumps(body).encode(), 0.0)
    event = parsed(message)

    if isinstance(event, Event) and wanted.matches(event):
        assert wanted.may_match(message)
