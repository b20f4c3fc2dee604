"""Forwards every event of streams with limits retention to Loki, exactly once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from exporter.clients.loki import LokiClient
from exporter.clients.tls import client_context
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels
from exporter.source import Source, Target
from exporter.source_options.loki import LokiOptions as LokiOptions
from exporter.sources.loki.copier import DELAYS, DROP_REASONS, StreamCopier, StreamCopy
from exporter.sources.loki.entries import LineStyle

ENTRIES = counter("fleet_exporter_loki_entries_total", "Entries that Loki accepted.", "stream")
DROPPED = counter(
    "fleet_exporter_loki_dropped_entries_total",
    "Entries that Loki rejected and that were dropped, by reason: invalid (status 400) or too_large (413).",
    "stream",
    "reason",
)
MISSED = counter(
    "fleet_exporter_loki_missed_messages_total", "Messages deleted from their stream before they were copied.", "stream"
)
POSITION = gauge("fleet_exporter_loki_position", "Sequence of the last message copied to Loki or dropped.", "stream")
PENDING = gauge("fleet_exporter_loki_pending_messages", "Messages of a stream that have not been copied yet.", "stream")
RETRIES = counter("fleet_exporter_loki_retries_total", "Requests to Loki that failed and were retried.")
DELAY = histogram(
    "fleet_exporter_loki_delay_seconds",
    "Time from storage of an event in its stream to its acceptance by Loki.",
    "stream",
    unit=Unit.SECONDS,
    bounds=DELAYS,
)


@dataclass(frozen=True)
class LokiSnapshot:
    """The state of the forwarding."""

    copies: dict[str, StreamCopy]
    """Position and counters by stream."""
    retries: int
    problem: SourceError | None
    """Why a stream, or all streams, are not copied."""


class LokiForwarder(Source, Target[LokiSnapshot]):
    """Forwards events to Loki in a background task."""

    kind: ClassVar[str] = "loki"
    metrics: ClassVar[tuple[Metric, ...]] = (ENTRIES, DROPPED, MISSED, POSITION, PENDING, RETRIES, DELAY)

    def __init__(self, options: LokiOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._copier: StreamCopier | None = None
        self._started = asyncio.Event()

    @property
    def server(self) -> str:
        return self.options.url.server

    async def run(self) -> None:
        options = self.options
        redact = frozenset(name.lower() for name in options.redact)
        self._copier = StreamCopier(
            options.nats,
            self._client(),
            LineStyle(redact, options.text_limit, options.line_limit),
            streams=options.streams,
            timeout=options.timeout,
            batch_bytes=options.batch_bytes,
        )
        self._started.set()
        await self._copier.run()

    async def wait_synced(self) -> None:
        await self._tried()

    async def collect(self) -> LokiSnapshot:
        copier = await self._tried()
        problem = next(iter(copier.problems.values()), None)
        return LokiSnapshot(copy.deepcopy(copier.copies), copier.retries, problem)

    async def _tried(self) -> StreamCopier:
        """The copier, after its first attempt has succeeded or failed."""
        await self._started.wait()
        assert self._copier is not None
        await self._copier.tried.wait()
        return self._copier

    def samples(self, snapshot: LokiSnapshot) -> Iterable[Sample]:
        yield RETRIES(snapshot.retries)
        for name, state in snapshot.copies.items():
            stream = labels(stream=name)
            yield ENTRIES.at(stream, state.entries)
            for reason in DROP_REASONS.values():
                yield DROPPED.at(stream.with_label("reason", reason), state.dropped[reason])
            yield MISSED.at(stream, state.missed)
            yield POSITION.at(stream, state.position.sequence)
            yield PENDING.at(stream, state.pending)
            yield state.delay.sample(DELAY, stream)

    def failure(self, snapshot: LokiSnapshot) -> SourceError | None:
        return snapshot.problem

    def _client(self) -> LokiClient:
        options = self.options
        headers = {"X-Scope-OrgID": options.tenant} if options.tenant else {}
        if token := options.token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        auth = (options.user, options.password.get_secret_value()) if options.user else None
        verify = client_context("loki.", options.ca_file) if options.url.scheme == "https" else False
        return LokiClient(options.url, timeout=options.timeout, headers=headers, auth=auth, verify=verify)
