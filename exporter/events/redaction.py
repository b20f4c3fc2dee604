"""Events as shown to people and programs: secrets removed, long texts cut. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import Any

from exporter.config.redaction import REDACT as REDACT
from exporter.config.redaction import TEXT_LIMIT as TEXT_LIMIT
from exporter.events.model import Event
from exporter.metrics.timestamps import rfc3339

REDACTED = "[redacted]"
_DEEPEST = 12
_WIDEST = 200


@functools.lru_cache(maxsize=8)
def _named_values(redact: frozenset[str]) -> re.Pattern[str]:
    """Matches `"name": value`, `name=value` and similar in a text, with quotes escaped any number of times."""
    names = "|".join(re.escape(name) for name in sorted(redact, key=len, reverse=True)) or r"(?!)"
    quote = r"""(?:\\*["'])"""
    value = r"""(?:(\\*)"(?:(?!\3").)*\3"|'[^']*'|[^\s,;&}\]"']+)"""
    return re.compile(rf"""(({quote}?(?<![\w-])(?:{names}){quote}?\s*[:=]\s*)){value}""", re.IGNORECASE | re.DOTALL)


def redacted_text(text: str, redact: Collection[str]) -> str:
    """A text with the values of the named fields replaced, including in unparsed JSON."""
    lowered = text.lower()
    if not any(name in lowered for name in redact):
        return text
    return _named_values(frozenset(redact)).sub(rf"\1{REDACTED}", text)


def shown(value: Any, redact: Collection[str], text_limit: int, depth: int = 0) -> Any:
    """JSON for display: values of keys in `redact` (lower case) replaced, texts cut, depth bounded."""
    if isinstance(value, str):
        value = redacted_text(value, redact)
        return value if len(value) <= text_limit else f"{value[:text_limit]}… ({len(value)} characters)"
    if isinstance(value, dict):
        if depth >= _DEEPEST:
            return f"… ({len(value)} fields)"
        return {
            str(name)[:text_limit]: REDACTED if str(name).lower() in redact else shown(inner, redact, text_limit, depth + 1)
            for name, inner in list(value.items())[:_WIDEST]
        }
    if isinstance(value, list):
        if depth >= _DEEPEST:
            return f"… ({len(value)} items)"
        return [shown(inner, redact, text_limit, depth + 1) for inner in value[:_WIDEST]]
    return value


def event_view(event: Event, redact: Collection[str], text_limit: int) -> dict[str, Any]:
    """One event as a JSON object: unknown values are null, times RFC 3339, durations seconds, sizes bytes."""
    return {
        "time": rfc3339(event.time if event.time is not None else event.stored),
        "stored": rfc3339(event.stored),
        "subject": event.subject,
        "type": event.kind,
        "family": event.family,
        "stream": event.stream or None,
        "sequence": event.sequence or None,
        "producer": event.producer,
        "story": event.story,
        "plan": event.plan,
        "task": event.task,
        "agent": event.agent,
        "role": event.role,
        "ceremony": event.ceremony,
        "deliberation": event.deliberation,
        "outcome": event.outcome,
        "duration_seconds": event.duration,
        "tokens": event.tokens,
        "model": event.model,
        "error": event.error,
        "size_bytes": event.size,
        "payload": shown(event.payload, redact, text_limit),
    }


def summary(event: Event, longest: int = 160) -> str:
    """A one-line summary of the event."""
    body = event.payload
    parts = []
    before, after = body.get("from_state") or body.get("from_phase"), body.get("to_state") or body.get("to_phase")
    if isinstance(after, str):
        parts.append(f"{before} → {after}" if isinstance(before, str) else f"→ {after}")
    if event.duration is not None:
        parts.append(f"{event.duration:.1f} s")
    if event.tokens is not None:
        parts.append(f"{event.tokens} tokens")
    if event.error:
        parts.append(event.error)
    proposal = body.get("proposal")
    text = proposal.get("content") if isinstance(proposal, dict) else proposal
    for text_field in (text, body.get("title"), body.get("message"), body.get("action"), body.get("reason")):
        if isinstance(text_field, str) and text_field and text_field != event.error:
            parts.append(" ".join(text_field[: longest * 2].split()))
            break
    line = " · ".join(parts)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
