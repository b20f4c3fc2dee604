"""Cursors: the position of a page of events as text. Pure."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated

import msgspec

from exporter.events.history import StoragePosition
from exporter.web.api.filter import LATEST

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=LATEST)]


class Direction(StrEnum):
    OLDER = "older"
    NEWER = "newer"


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A reading direction from a position, within the range of the first page's `since` and `until`."""

    direction: Direction
    stored: _Seconds
    stream: Annotated[str, msgspec.Meta(max_length=300)]
    sequence: Annotated[int, msgspec.Meta(ge=-1, le=2**53)]
    since: _Seconds
    until: _Seconds | None

    @property
    def place(self) -> StoragePosition:
        return StoragePosition(self.stored, self.stream, self.sequence)

    def at(self, direction: Direction, place: StoragePosition) -> Cursor:
        """A cursor of the same range."""
        stored = min(max(place.stored, 0.0), LATEST)
        return Cursor(direction, stored, place.stream, place.sequence, self.since, self.until)

    @property
    def text(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def parsed(cls, text: str) -> Cursor:
        """Parses a cursor. Raises ValueError."""
        try:
            return msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True), type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise ValueError("expected `next` or `previous` of an earlier response") from None
