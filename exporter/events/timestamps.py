"""When an event happened, by its own account: eight shapes of time under fourteen names. Pure, and nothing here raises."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_TIMES = (
    "timestamp",
    "occurred_at",
    "approved_at",
    "started_at",
    "completed_at",
    "deliberated_at",
    "validated_at",
    "assigned_at",
    "dispatched_at",
    "reached_at",
    "created_at",
    "generated_at_ms",
    "ts",
    "time",
)
_EARLIER, _LATER = 86400.0, 60.0
"""How far an event's own time may be from the server's and still be believed: it may be late in coming, hardly early."""
_NAIVE = 300.0
"""The same for a time without a zone: hours off, it is another zone's."""


def event_time(body: dict[str, Any], stored: float) -> float | None:
    """When it happened, by the first of its time fields that says anything; None when that is beyond belief."""
    for name in _TIMES:
        if name in body:
            value = body[name]
            if value is not None:
                return _believable(value, stored)
    return None


def _believable(value: Any, stored: float) -> float | None:
    moment, zoned = instant(value)
    if moment is None:
        return None
    earlier, later = (_EARLIER, _LATER) if zoned else (_NAIVE, _NAIVE)
    return moment if stored - earlier <= moment <= stored + later else None


def instant(value: Any) -> tuple[float | None, bool]:
    """(seconds since 1970, whether a zone was said) of ISO text or of a number in any unit from seconds to nanoseconds.

    `2025-11-20T10:00:00+00:00Z`, which the fleet's planning service writes, is read as meant; a number too small for
    a date (an event loop's own clock) is no time.
    """
    if type(value) is str:
        text = value.strip()
        if len(text) > 40:
            return None, False
        if text.endswith(("Z", "z")) and ("+" in text or text.count("-") > 2):
            text = text[:-1]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            try:
                return instant(float(text))
            except (ValueError, OverflowError):
                return None, False
        try:
            return (moment.timestamp(), True) if moment.tzinfo else (moment.replace(tzinfo=UTC).timestamp(), False)
        except (OverflowError, ValueError):
            return None, False
    if type(value) in (int, float) and abs(value) < 1e20:
        for unit in (1.0, 1e3, 1e6, 1e9):
            if 1e9 <= value / unit < 1e10:
                return value / unit, True
    return None, False
