"""Single values of an event's body → what they mean, or None. Pure, and nothing here raises."""

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
"""The roles that the fleet is known to have; others are taken as they come, in capitals."""


UNKNOWN_ROLE = "unknown"
"""The label of what has no role, or none that was said."""


def identifier(value: Any) -> str | None:
    """A text or number as an identifier, at most 200 characters; None for null, empty, true, lists and the like."""
    if value is None:
        return None
    if type(value) is str:
        return value[:_LONGEST_ID].strip() or None
    if type(value) in (int, float) and abs(value) < 1e18:  # NaN is not
        return str(int(value)) if value == int(value) else str(value)
    return None


def role_of(value: Any) -> str | None:
    """A role under its one name, in capitals."""
    if type(value) is not str or not value or len(value) > 40:
        return None
    upper = value.strip().upper()
    return _ROLES.get(upper) or ("_".join(upper.replace("-", " ").split()) or None)


def role_of_agent(agent: str) -> str | None:
    """`agent-dev-002` is a DEV; only roles that are known are believed."""
    parts = agent.split("-")
    return _ROLES.get(parts[1].upper()) if len(parts) > 2 and parts[0] == "agent" else None


def duration(milliseconds: Any) -> float | None:
    """Milliseconds, as number or text, as seconds; None for what is no duration: negative, endless, longer than a month."""
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
    """The objects in a list; nothing for anything else."""
    return (item for item in value[:limit] if type(item) is dict) if type(value) is list else ()
