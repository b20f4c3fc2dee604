"""Rows of `agent_events` as events of the live stream. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from exporter.events.model import Event, Outcome
from exporter.metrics.timestamps import instant

FAMILY = "broker"
_TEXT = 2000


def event_of(row: Sequence[Any], now: float) -> Event:
    """A row of tables.NEW_EVENTS as an event; values that are not text are left out."""
    _, agent, kind, message, metadata, written = row
    payload = {"message": message[:_TEXT] if isinstance(message, str) else None, "metadata": _decoded(metadata)}
    data = msgspec.json.encode(payload)
    name = f"broker.{kind[:100] if isinstance(kind, str) and kind else 'unknown'}"
    moment = instant(written)[0]
    return Event(
        subject=name,
        kind=name,
        family=FAMILY,
        stream="",
        sequence=0,
        stored=moment if moment is not None else now,
        time=moment,
        producer="broker",
        story=None,
        plan=None,
        task=None,
        agent=agent[:200] if isinstance(agent, str) and agent else None,
        role=None,
        ceremony=None,
        deliberation=None,
        outcome=Outcome.FAILED if kind == "error" else Outcome.NONE,
        duration=None,
        tokens=None,
        model=None,
        error=payload["message"] if kind == "error" else None,
        size=len(data),
        payload=payload,
        data=data,
    )


def _decoded(metadata: Any) -> Any:
    try:
        return msgspec.json.decode(metadata) if isinstance(metadata, str) else None
    except (msgspec.DecodeError, RecursionError):
        return None
