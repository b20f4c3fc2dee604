"""INFO's text as fields, and fields as numbers. Pure, and nothing here raises."""

from __future__ import annotations

import math


def parsed(text: str) -> dict[str, str]:
    """INFO's `field:value` lines by field; headings, blank lines and lines without a colon are passed over."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {field: value for field, colon, value in pairs if colon}


def value_of(text: str | None) -> float | None:
    """A field's number, that of `1.5%` being 1.5; None when it is absent or no finite number."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parts_of(text: str) -> dict[str, str]:
    """`keys=2,expires=0` by name."""
    return dict(part.partition("=")[::2] for part in text.split(","))
