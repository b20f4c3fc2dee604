"""The fleet's events: read from its streams, parsed, aggregated and broadcast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

from exporter.clients.clock import WallClock, steady
from exporter.clients.nats import Connection
from exporter.config.sharding import WHOLE, Shard
from exporter.events import broadcast
from exporter.events.broadcast import EventBroadcaster
from exporter.events.consumer import EventConsumer
from exporter.events.history import History
from exporter.events.model import Event, Message, Unparsed, parsed
from exporter.events.redaction import event_view
from exporter.events.streams import DeliveryMode, delivery_mode, wanted, wanted_offline
from exporter.fleet import delivery
from exporter.fleet.agents import AgentTimeouts
from exporter.fleet.delivery import ConsumerStats
from exporter.fleet.registry import Member
from exporter.fleet.state import Caps, Fleet
from exporter.metrics.metric import Metric, Sample
from exporter.source import LIMIT_HITS, Source, Target
from exporter.source_options.fleet import FleetOptions as FleetOptions
from exporter.sources.fleet import consumer_samples, grafana_live, samples
from exporter.sources.fleet.grafana_live import GrafanaLive
from exporter.sources.fleet.snapshot import FleetSnapshot, state_of


class FleetEvents(Source, Target[FleetSnapshot]):
    """Reads the events of one fleet."""

    kind: ClassVar[str] = "fleet"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *samples.METRICS,
        *consumer_samples.METRICS,
        *delivery.METRICS,
        *broadcast.METRICS,
        *grafana_live.METRICS,
    )

    def __init__(self, options: FleetOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._redact = frozenset(name.lower() for name in options.redact)
        self._clock = WallClock()
        self._deliveries = ConsumerStats()
        self._live = EventBroadcaster()
        self._caught_up = asyncio.Event()
        self.consumer = EventConsumer(
            options, timeout=options.timeout, lookback=options.lookback, streams=options.streams, listener=self
        )
        url = options.grafana_url.get_secret_value()
        token = options.grafana_token.get_secret_value()
        self._grafana = GrafanaLive(url, token, options.grafana_stream) if url else None
        self.reset()

    @property
    def server(self) -> str:
        return self.options.server

    @property
    def fleet(self) -> Fleet:
        """The current state of the fleet."""
        self._fleet.expire(self._now())
        return self._fleet

    @property
    def live(self) -> EventBroadcaster:
        return self._live

    def disconnect_clients(self) -> None:
        self._live.disconnect()

    @property
    def is_caught_up(self) -> bool:
        return self._caught_up.is_set()

    def view(self, event: Event) -> dict[str, Any]:
        """A redacted event for display."""
        return event_view(event, self._redact, self.options.text_limit)

    def reset(self) -> None:
        """Start with an empty fleet."""
        options = self.options
        caps = Caps(agents=options.max_agents, stories=options.max_stories, tasks=options.max_tasks)
        timeouts = AgentTimeouts(idle=options.idle_after, unresponsive=options.unresponsive_after, gone=options.agent_ttl)
        self._fleet = Fleet(caps, timeouts, deliberation_timeout=options.deliberation_timeout)

    def on_replay_complete(self) -> None:
        """Start counting after the replay."""
        self._fleet.expire(self._now())
        self._fleet.start_counting()
        self._caught_up.set()

    def message(self, message: Message, *, live: bool) -> None:
        """Apply one message."""
        event = parsed(message)
        self._fleet.apply(event, self._now() if live else None, ahead=self.consumer.connection.clock.ahead)
        if not isinstance(event, Unparsed):
            (self._live.publish if live else self._live.recent.add)(event)

    def advisory(self, data: bytes) -> None:
        """Apply an advisory or ack sample of the server."""
        self._deliveries.apply(data, steady())

    def register(self, members: Iterable[Member]) -> None:
        """Add agents that another source lists as registered."""
        self._fleet.agents.register(members, self._now())

    def _now(self) -> float:
        """The current time; adjusts the fleet's ages if the clock was set."""
        now, step = self._clock.read()
        if step:
            self._fleet.shift(step)
        return now

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.consumer.run(), name="read the streams")
            if self._grafana is not None:
                group.create_task(self._grafana.run(self._live), name="push to Grafana Live")

    async def wait_synced(self) -> None:
        await self._caught_up.wait()

    async def collect(self) -> FleetSnapshot:
        reader, grafana = self.consumer, self._grafana
        await reader.tried.wait()
        if problem := reader.problem or reader.refusal:
            raise problem.again()
        now = self._now()
        self._fleet.expire(now)
        return FleetSnapshot(
            state=state_of(self._fleet, now),
            streams=tuple(replace(stream, restarts=stream.restarts.copy()) for stream in reader.cursors.values()),
            refused_subjects=frozenset(reader.connection.refused_subjects),
            disconnects=reader.disconnects,
            dropped=reader.connection.dropped,
            consumers=self._deliveries.counts(),
            clients=self._live.clients,
            dropped_clients=self._live.too_slow,
            grafana=(grafana.pushed, grafana.failed) if grafana else None,
        )

    def samples(self, snapshot: FleetSnapshot) -> Iterable[Sample]:
        yield from samples.samples(snapshot.state)
        yield from consumer_samples.samples(snapshot)
        yield from delivery.samples(snapshot.consumers)
        yield LIMIT_HITS(snapshot.consumers.refused, kind="consumer")
        yield broadcast.CLIENTS(snapshot.clients)
        yield broadcast.DROPPED_CLIENTS(snapshot.dropped_clients)
        if snapshot.grafana is not None:
            pushed, failed = snapshot.grafana
            yield grafana_live.PUSHED(pushed)
            yield grafana_live.FAILED(failed)

    @asynccontextmanager
    async def history(self) -> AsyncIterator[History]:
        """Stored events, read over a separate connection. Raises SourceError."""
        connection = Connection(self.options, timeout=self.timeout)
        try:
            await connection.open()
            found, offline, _ = await connection.stream_list()
            streams = [
                stream
                for stream in wanted(found, self.options.streams, offline)
                if delivery_mode(stream) is DeliveryMode.CONSUMER and stream.state.messages
            ]
            yield History(
                connection,
                {stream.config.name: (stream.state.first_seq, stream.state.last_seq) for stream in streams},
                wanted_offline(offline, self.options.streams),
            )
        finally:
            await connection.close()
