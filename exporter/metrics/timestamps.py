"""Timestamps of other programs → seconds since 1970, and back. Pure, never raises.

Accepted: ISO 8601 with any offset, with a space instead of `T`, slashes or no zone (UTC); epoch seconds, milliseconds,
microseconds and nanoseconds as number or text; JavaScript's `Date`, Go's `time.Time`, RFC 2822 and `asctime`. Dates
with ambiguous day and month (`11/10/2025`) are not accepted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

NANOSECONDS: Final = 1e9

_LONGEST = 80
_EPOCH = re.compile(r"\d{9,19}(?:\.\d+)?")
_OFFSET = r"[+-]\d\d(?::?\d\d)?"
_ISO = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[T,\s]\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    rf"(?:\s*(Z|UTC|GMT|{_OFFSET})(?:\s*[A-Z]{{1,5}})?)?(?:\s+m=[+-][\d.]+)?",
    re.IGNORECASE | re.ASCII,
)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d+))?)?", re.ASCII)
_ZONE = re.compile(rf"(?:Z|UTC|GMT)?({_OFFSET})?", re.IGNORECASE | re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def rfc3339(moment: float | None, precision: str = "milliseconds") -> str | None:
    """Seconds since 1970 as RFC 3339 in UTC, truncated to a precision as in `datetime.isoformat`; None stays None."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def seconds(text: str | None) -> float | None:
    """A timestamp as seconds since 1970; None for an empty or unreadable text and for Go's zero time."""
    return instant(text)[0] if text else None


def instant(value: Any) -> tuple[float | None, bool]:
    """(seconds since 1970, whether a zone was given); None if it is not a timestamp.

    Numbers too small for a date (such as an event loop's clock) and Go's zero time are not timestamps.
    """
    if type(value) is str:
        text = value.strip()
        if len(text) > _LONGEST:
            return None, False
        if _EPOCH.fullmatch(text):
            return instant(float(text))
        try:
            return _seconds(datetime.fromisoformat(text))
        except ValueError:
            return _from_text(text)
    if type(value) in (int, float) and abs(value) < 1e20:
        for unit in (1.0, 1e3, 1e6, 1e9):
            if 1e9 <= value / unit < 1e10:
                return value / unit, True
    return None, False


def _seconds(moment: datetime) -> tuple[float | None, bool]:
    zoned = moment.tzinfo is not None
    try:
        seconds = (moment if zoned else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None, False
    return (seconds, zoned) if seconds > 0 else (None, False)


def _from_text(text: str) -> tuple[float | None, bool]:
    """Formats that `fromisoformat` does not accept."""
    try:
        if found := _ISO.fullmatch(text):
            year, month, day, hour, minute, second, fraction, zone = found.groups()
            date = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
            return _seconds(_with(date, fraction, zone))
        if any(letter.isalpha() for letter in text[:4]) or " " in text:
            return _worded(text)
        return instant(float(text))
    except (ValueError, OverflowError):
        return None, False


def _with(moment: datetime, fraction: str | None, zone: str | None) -> datetime:
    moment = moment.replace(microsecond=int(f"{fraction or '':0<6}"[:6]))
    return moment if zone is None else moment.replace(tzinfo=_zone(zone))


def _zone(text: str) -> timezone:
    """UTC, GMT, Z or an offset. Raises ValueError for other zones."""
    found = _ZONE.fullmatch(text)
    if found is None or not text:
        raise ValueError(text)
    if (offset := found[1]) is None:
        return UTC
    digits = offset[1:].replace(":", "")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-span if offset[0] == "-" else span)


def _worded(text: str) -> tuple[float | None, bool]:
    """A date with a month name, in any order: `Thu Nov 20 2025 10:00:00 GMT+0100 (CET)`. Raises ValueError."""
    found: dict[str, Any] = {}
    words = re.sub(r"\([^)]*\)", " ", text).replace(",", " ").split()
    for word in [part for one in words for part in (one.split("-") if re.fullmatch(r"\d+-[A-Za-z]+-\d+", one) else [one])]:
        lower = word.lower()
        if lower[:3] in _DAYS and lower.isalpha():
            continue
        if lower[:3] in _MONTHS and lower.isalpha():
            name, value = "month", str(_MONTHS.index(lower[:3]) + 1)
        elif _CLOCK.fullmatch(word):
            name, value = "clock", word
        elif word.isdecimal():
            name = "year" if len(word) == 4 or "day" in found else "day"
            value = str(2000 + int(word)) if name == "year" and len(word) == 2 else word
        else:
            name, value = "zone", word
            if "zone" in found and lower.isalpha():
                continue  # the name of the preceding offset
        if name in found:
            raise ValueError(text)
        found[name] = value
    if not {"year", "month", "day"} <= found.keys():
        raise ValueError(text)
    clock = _CLOCK.fullmatch(found.get("clock", "0:00"))
    assert clock is not None  # as matched above
    hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
    moment = datetime(int(found["year"]), int(found["month"]), int(found["day"]), hour, minute, second)
    return _seconds(_with(moment, clock[4], found.get("zone")))
