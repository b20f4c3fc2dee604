"""Query parameters of all resources that return events."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import AfterValidator, Field

from exporter.events.model import Outcome
from exporter.web.api.filter import EventFilter, moment
from exporter.web.api.parameters import Parameters, Role, Text


def _moment(text: str) -> str:
    moment(text, time.time())
    return text


Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
"""A duration before now or a time, as text; a duration is resolved at the time of the request."""


class EventConditions(Parameters):
    """Conditions on events; an event must meet all of them."""

    family: Text | None = Field(None, description="planning, orchestration, agent, context, workflow, task, vllm, …")
    subject: Text | None = Field(None, description="Subject; `*` and `>` are NATS wildcards.")
    story: Text | None = Field(None, description="Story id.")
    task: Text | None = Field(None, description="Task id.")
    agent: Text | None = Field(None, description="Agent id.")
    role: Role | None = None
    outcome: Outcome | None = Field(None, description="Outcome of the reported work.")
    q: Text | None = Field(None, description="Text that the body contains, as published.")

    @property
    def filter(self) -> EventFilter:
        return EventFilter(**{name: getattr(self, name) for name in EventConditions.model_fields})


class LiveQuery(EventConditions):
    """Parameters of /ws, and of /api/events/stream."""

    replay: Moment | None = Field(None, description="Start with past events since a duration before now or a time.")
    speed: float = Field(0, ge=0, le=1000, description="Replay speed: 1 is real time, 0 is without delays.")

    @property
    def since(self) -> float | None:
        return moment(self.replay, time.time()) if self.replay else None


class StreamQuery(LiveQuery):
    recent: int = Field(0, ge=0, le=500, description="Start with this many of the latest events.")
    fleet: bool = Field(False, description="Also send councils and counts, once per second.")
