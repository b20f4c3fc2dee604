"""Event filters of API requests. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from exporter.events.model import Event, Message, Outcome
from exporter.events.values import role_of
from exporter.metrics.timestamps import instant

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
LATEST = 7_258_118_400.0
"""The year 2200: NATS uses nanoseconds, which overflow in 2262."""
_ESCAPED = re.compile(rb"\\u00[2-7]")
"""A printable ASCII character written as \\u and its number."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def span(text: str) -> float | None:
    """Parses `90s`, `5m`, `1h30m`, `2d` as seconds; None if invalid."""
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def moment(text: str, now: float) -> float:
    """Parses a time as seconds since 1970: a duration before now, RFC 3339, or a number. Raises ValueError."""
    seconds = span(text)
    found = now - seconds if seconds is not None else instant(text)[0]
    if found is None or not 0 <= found <= LATEST:
        raise ValueError("expected a duration before now (5m, 1h30m) or a time (2026-01-31T12:00:00Z) between 1970 and 2200")
    return found


def _subject_pattern(wildcards: str) -> re.Pattern[str]:
    """Matches NATS wildcards: `*` is one token, a final `>` the rest."""
    tokens = [r"[^.]+" if token == "*" else re.escape(token) for token in wildcards.split(".")]  # noqa: S105 - NATS's
    if tokens[-1] == re.escape(">"):
        tokens[-1] = ".+"
    return re.compile(r"\.".join(tokens))


@dataclass(frozen=True)
class EventFilter:
    """Conditions on events, combined with AND."""

    family: str | None = None
    subject: str | None = None
    story: str | None = None
    task: str | None = None
    agent: str | None = None
    role: str | None = None
    outcome: Outcome | None = None
    q: str | None = None

    @cached_property
    def _subject(self) -> re.Pattern[str] | None:
        return _subject_pattern(self.subject) if self.subject else None

    @cached_property
    def _texts(self) -> tuple[bytes, ...]:
        """Bytes that every matching message contains in any format; JSON escapes non-ASCII characters."""
        wanted = (self.story, self.task, self.agent)
        return tuple(text.encode() for text in wanted if text and text.isascii() and '"' not in text and "\\" not in text)

    def may_match(self, message: Message) -> bool:
        """Whether a message is worth parsing: fast, no false negatives."""
        if self._subject is not None and not self._subject.fullmatch(message.subject):
            return False
        if self.q and self.q.encode() not in message.data:
            return False
        missing = [text for text in self._texts if not _may_be_number(text) and text not in message.data]
        # JSON may escape a slash, and any character by its number.
        return all((b"/" in text and b"\\/" in message.data) or _ESCAPED.search(message.data) for text in missing)

    def matches(self, event: Event) -> bool:
        if self.q and self.q.encode() not in event.data:
            return False
        if self._subject is not None and not self._subject.fullmatch(event.subject):
            return False
        role = role_of(self.role) if self.role else None
        wanted = (
            (self.family, event.family),
            (self.story, event.story),
            (self.task, event.task),
            (self.agent, event.agent),
            (role, event.role),
            (self.outcome, event.outcome),
        )
        return all(asked == has for asked, has in wanted if asked)


def _may_be_number(text: bytes) -> bool:
    """A numeric ID may be written differently in the body (`7.0`)."""
    return text.replace(b"-", b"").replace(b".", b"").isdigit()
