"""Values of an event's body → typed values or None. Pure, never raises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_LONGEST_ID = 200
_LONGEST_ERROR = 500
_LONGEST_DURATION = 30 * 86400.0
_LONGEST_NUMBER = 30

_ROLES = {
    "DEVELOPER": "DEV",
    "DEV": "DEV",
    "TESTER": "QA",
    "QA": "QA",
    "ARCHITECT": "ARCHITECT",
    "ARCH": "ARCHITECT",
    "DEVOPS": "DEVOPS",
    "OPS": "DEVOPS",
    "DATA": "DATA",
    "PO": "PO",
    "PRODUCT_OWNER": "PO",
}
ROLES = tuple(dict.fromkeys(_ROLES.values()))
"""The fleet's known roles; other names are used in upper case."""


UNKNOWN_ROLE = "unknown"
"""Label of events without a role."""


def identifier(value: Any) -> str | None:
    """A text or number as an ID, at most 200 characters; None for null, empty, true, lists and the like."""
    if value is None:
        return None
    if type(value) is str:
        return value[:_LONGEST_ID].strip() or None
    if type(value) in (int, float) and abs(value) < 1e18:  # excludes NaN
        return str(int(value)) if value == int(value) else str(value)
    return None


def role_of(value: Any) -> str | None:
    """A role under its canonical name, in upper case."""
    if type(value) is not str or not value or len(value) > 40:
        return None
    upper = value.strip().upper()
    return _ROLES.get(upper) or ("_".join(upper.replace("-", " ").split()) or None)


def role_of_agent(agent: str) -> str | None:
    """`agent-dev-002` is DEV; only known roles are derived from names."""
    parts = agent.split("-")
    return _ROLES.get(parts[1].upper()) if len(parts) > 2 and parts[0] == "agent" else None


def duration(milliseconds: Any) -> float | None:
    """Milliseconds (number or text) as seconds; None if invalid: negative, infinite, longer than a month."""
    value = _number(milliseconds)
    return value / 1000.0 if value is not None and 0 <= value <= _LONGEST_DURATION * 1000 else None


def count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 < number < 1e12 else None


def is_unreadable_count(value: Any) -> bool:
    return value is not None and count(value) is None and _number(value) != 0


def _number(value: Any) -> float | None:
    if type(value) is str and len(value) <= _LONGEST_NUMBER:
        try:
            return float(value)
        except ValueError:
            return None
    return value if type(value) in (int, float) else None


def error_text(value: Any) -> str | None:
    return value[:_LONGEST_ERROR] if type(value) is str and value else None


def objects(value: Any, limit: int = 100) -> Iterable[dict[str, Any]]:
    """The objects in a list; nothing for other values."""
    return (item for item in value[:limit] if type(item) is dict) if type(value) is list else ()
