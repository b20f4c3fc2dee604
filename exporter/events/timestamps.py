"""The time of an event from its payload. Pure, never raises."""

from __future__ import annotations

from typing import Any

from exporter.metrics.timestamps import instant

TIME_FIELDS = (
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
"""Max. seconds by which an event's own time may be before and after the server's."""
_NAIVE = 300.0
"""The same for times without a zone; larger differences indicate another zone."""


def event_time(body: dict[str, Any], stored: float) -> float | None:
    """The event's time, from the first time field with a value; None if implausible."""
    for name in TIME_FIELDS:
        if name in body:
            value = body[name]
            if value is not None:
                return _believable(value, stored)
    return None


def has_unreadable_time(body: dict[str, Any]) -> bool:
    """Whether the time field used by `event_time` is present but not in a known format."""
    value = next((body[name] for name in TIME_FIELDS if body.get(name) is not None), None)
    return value is not None and instant(value)[0] is None


def _believable(value: Any, stored: float) -> float | None:
    moment, zoned = instant(value)
    if moment is None:
        return None
    earlier, later = (_EARLIER, _LATER) if zoned else (_NAIVE, _NAIVE)
    return moment if stored - earlier <= moment <= stored + later else None
