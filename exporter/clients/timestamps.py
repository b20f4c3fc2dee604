"""Times in JetStream replies."""

from __future__ import annotations

from datetime import datetime
from typing import Final

NANOSECONDS: Final = 1e9


def seconds(timestamp: str) -> float | None:
    """RFC 3339 → seconds since 1970; None for an empty or unreadable text and for Go's zero time."""
    try:
        value = datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0
    except (ValueError, OverflowError):
        return None
    return value if value > 0 else None
