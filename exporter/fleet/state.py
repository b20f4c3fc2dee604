"""State of the fleet from its events: Fleet.apply(event). Pure and bounded: no client, no clock, limits on everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from exporter.events.model import RESPONSES, Event, Outcome, Unparsed, UnparsedReason, ValueField
from exporter.events.subjects import known
from exporter.events.values import ROLES, UNKNOWN_ROLE
from exporter.fleet.agents import Agents, AgentTimeouts
from exporter.fleet.deliberations import Deliberations
from exporter.fleet.limits import LabelLimiter
from exporter.fleet.stages import Stories, Tasks
from exporter.metrics.histogram import Histogram, copied
from exporter.metrics.metric import OTHER

SIZES = (100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)
DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
RESPONSE_SECONDS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
RESPONSE_TOKENS = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0, 25600.0)


@dataclass(frozen=True, slots=True)
class Caps:
    """Max. items of each kind."""

    agents: int = 500
    stories: int = 5000
    tasks: int = 10_000
    deliberations: int = 5000
    series: int = 1000
    """Combinations of subject, producer and outcome that are counted."""
    roles: int = 20
    models: int = 20
    producers: int = 40


@dataclass(slots=True)
class EventCounts:
    """Counters of events, parsed or not."""

    events: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    sizes: dict[str, Histogram] = field(default_factory=dict)
    delays: dict[str, Histogram] = field(default_factory=dict)
    unparsed: dict[UnparsedReason, int] = field(default_factory=lambda: dict.fromkeys(UnparsedReason, 0))
    unreadable: dict[ValueField, int] = field(default_factory=lambda: dict.fromkeys(ValueField, 0))
    responses: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    tokens: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    refused: int = 0

    def copy(self) -> EventCounts:
        """A copy of the counters."""
        return EventCounts(
            dict(self.events),
            copied(self.sizes),
            copied(self.delays),
            dict(self.unparsed),
            dict(self.unreadable),
            dict(self.responses),
            copied(self.seconds),
            copied(self.tokens),
            self.refused,
        )

    def start_counting(self) -> None:
        """Set all counters to zero and keep their series, because Prometheus does not count a series' first value as an
        increase.
        """
        for counts in (self.events, self.unparsed, self.unreadable, self.responses):
            for key in counts:
                counts[key] = 0  # type: ignore[index]  # the keys of each have another type
        for distributions in (self.sizes, self.delays, self.seconds, self.tokens):
            for distribution in distributions.values():
                distribution.clear()


_CAPS, _TIMEOUTS = Caps(), AgentTimeouts()


class Fleet:
    """Agents, councils, deliberations, stories and tasks, and event counters."""

    def __init__(
        self, caps: Caps = _CAPS, timeouts: AgentTimeouts = _TIMEOUTS, *, deliberation_timeout: float = 300.0
    ) -> None:
        self._caps = caps
        self.counts = EventCounts()
        self.roles = LabelLimiter(caps.roles, (*ROLES, UNKNOWN_ROLE))
        self.models = LabelLimiter(caps.models)
        self.producers = LabelLimiter(caps.producers)
        self.agents = Agents(caps.agents, timeouts, self.roles)
        self.deliberations = Deliberations(caps.deliberations, deliberation_timeout, self.roles)
        self.stories = Stories(caps.stories)
        self.tasks = Tasks(caps.tasks)

    def apply(self, event: Event | Unparsed, seen: float | None = None, *, ahead: float = 0.0) -> None:
        """Apply an event. `seen` is the time of receipt, for live events only.

        `ahead` is how many seconds the clock that stamps events is ahead of the clock of `seen` and of the expiry times.
        Events stamped after their receipt are treated as stamped at their receipt.

        """
        stored = event.stored - ahead if seen is None else min(event.stored - ahead, seen)
        if stored != event.stored:
            event = replace(event, stored=stored)
        self._count(event, seen)
        if isinstance(event, Unparsed):
            return
        begun = self.deliberations.apply(event)
        self.agents.apply(event)
        if begun is not None and begun.requested is not None and begun.inferred:
            self.agents.peers_deliberate(event, begun.requested)
        self.stories.apply(event)
        self.tasks.apply(event)

    def _count(self, event: Event | Unparsed, seen: float | None) -> None:
        counts = self.counts
        _, family, label, producer, _ = known(event.subject, "")
        if type(event) is Event:
            key = (family, label, self.producers(event.producer), event.outcome)
            for name in event.unreadable:
                counts.unreadable[name] += 1
            if event.kind in RESPONSES:
                self._count_response(event)
        else:
            assert isinstance(event, Unparsed)
            counts.unparsed[event.reason] += 1
            key = (family, label, producer, Outcome.NONE)
        try:
            counts.events[key] += 1
        except KeyError:
            if len(counts.events) >= self._caps.series:
                counts.refused += 1
                key = (family, OTHER, OTHER, key[3])
            counts.events[key] = counts.events.get(key, 0) + 1
        try:
            counts.sizes[family].observe(event.size)
        except KeyError:
            counts.sizes[family], counts.delays[family] = Histogram(SIZES), Histogram(DELAYS)
            counts.sizes[family].observe(event.size)
        if seen is not None:
            counts.delays[family].observe(max(seen - event.stored, 0.0))

    def _count_response(self, event: Event) -> None:
        counts = self.counts
        role = self.roles(event.role or UNKNOWN_ROLE)
        key = (role, event.outcome)
        counts.responses[key] = counts.responses.get(key, 0) + 1
        if event.duration is None and event.tokens is None:
            return
        series = (role, self.models(event.model or "unknown"))
        for value, distributions, bounds in (
            (event.duration, counts.seconds, RESPONSE_SECONDS),
            (event.tokens, counts.tokens, RESPONSE_TOKENS),
        ):
            if value is not None:
                distribution = distributions.get(series)
                if distribution is None:
                    distribution = distributions[series] = Histogram(bounds)
                distribution.observe_with(value, event.stored, task_id=event.task, story_id=event.story)

    def start_counting(self) -> None:
        """Keep the state from replayed events, and count from here on.

        The replayed events were counted by the previous process; counting them again would double `increase()`.

        """
        self.counts.start_counting()
        self.agents.start_counting()
        self.deliberations.start_counting()
        self.stories.start_counting()
        self.tasks.start_counting()

    def shift(self, seconds: float) -> None:
        """Shift all times after the clock of `seen` was set forward (positive) or back (negative) by so many seconds."""
        self.deliberations.shift(seconds)
        self.agents.shift(seconds)
        self.stories.shift(seconds)
        self.tasks.shift(seconds)

    def expire(self, now: float) -> None:
        """Expire: end timed-out deliberations, remove silent items."""
        self.deliberations.expire(now)
        self.agents.expire(now)
        self.stories.expire(now)
        self.tasks.expire(now)

    def refused(self) -> dict[str, int]:
        """How often an item was not kept, or counted as OTHER, because of a limit."""
        return {
            "role": self.roles.refused,
            "model": self.models.refused,
            "producer": self.producers.refused,
            "agent": self.agents.known.refused,
            "council": self.agents.councils.refused,
            "deliberation": self.deliberations.open.refused + self.deliberations.recent.refused,
            "story": self.stories.things.refused,
            "task": self.tasks.things.refused,
            "stage": self.stories.names.refused + self.tasks.names.refused,
            "series": self.counts.refused,
        }
