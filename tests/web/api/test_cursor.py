"""Cursors survive encoding, and any other text is rejected."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.api.cursor import Cursor, Direction
from exporter.web.api.filter import LATEST

SECONDS = st.floats(0, LATEST)
CURSORS = st.builds(
    Cursor,
    st.sampled_from(Direction),
    SECONDS,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.integers(-1, 2**53),
    SECONDS,
    st.none() | SECONDS,
)


@given(CURSORS)
def test_a_cursor_survives_encoding_and_decoding(cursor: Cursor) -> None:
    assert Cursor.parsed(cursor.text) == cursor
    assert cursor.text.isascii()


@given(st.text(max_size=100) | CURSORS.map(lambda cursor: cursor.text[:-3]))
def test_any_other_text_is_an_invalid_cursor(text: str) -> None:
    with suppress(ValueError):
        cursor = Cursor.parsed(text)
        assert 0 <= cursor.stored <= LATEST


@pytest.mark.parametrize("text", ["", "AAAA", "WyJvbGRlciIsTmFOLCIiLDAsMCxudWxsXQ", "WyJvbGRlciIsMWU5OSwiIiwwLDAsbnVsbF0"])
def test_invalid_cursors_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected `next` or `previous`"):
        Cursor.parsed(text)
