"""Copies every event of every stream that keeps its messages to Loki, each once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge
from pydantic import SecretStr

from exporter.clients.loki import LokiClient
from exporter.clients.nats import NatsServer
from exporter.config.address import Address, HttpAddress
from exporter.config.options import Count, Names, Options, Secret, option
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.events.redaction import REDACT
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels
from exporter.source import Source, SourceOptions, Target
from exporter.sources.journal.entries import Style
from exporter.sources.journal.forwarder import DROP_REASONS, LokiForwarder, StreamCopy

ENTRIES = counter("fleet_journal_entries_total", "Entries that Loki accepted.", "stream")
DROPPED = counter(
    "fleet_journal_dropped_entries_total",
    "Entries that Loki rejected and that were dropped, by reason: invalid (status 400) or too_large (413).",
    "stream",
    "reason",
)
MISSED = counter(
    "fleet_journal_missed_messages_total", "Messages deleted from their stream before they were copied.", "stream"
)
POSITION = gauge("fleet_journal_position", "Sequence of the last message copied to Loki or dropped.", "stream")
PENDING = gauge("fleet_journal_pending_messages", "Messages of a stream not copied yet.", "stream")
RETRIES = counter("fleet_journal_retries_total", "Requests to Loki that failed and were retried.")
DELAY = histogram(
    "fleet_journal_delay_seconds",
    "Time from storage of an event in its stream to its acceptance by Loki.",
    "stream",
    unit=Unit.SECONDS,
)


class JournalOptions(NatsServer, SourceOptions):
    """Forwarding of events to one Loki; enabled if both NATS and Loki have an address."""

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = ("jetstream", NatsServer)

    loki_url: Annotated[HttpAddress, option("http:// or https:// address of Loki.", env="LOKI_URL")] = Address("")
    loki_user: Annotated[str, option("Loki user name.")] = ""
    loki_password: Annotated[Secret, option("Loki password.")] = SecretStr("")
    loki_token: Annotated[Secret, option("Loki bearer token.")] = SecretStr("")
    loki_tenant: Annotated[str, option("Loki tenant (X-Scope-OrgID).")] = ""
    loki_ca_file: Annotated[Path | None, option("CA certificate of Loki.")] = None
    streams: Annotated[Names, option("Streams to copy; default: all with limits retention.")] = ()
    redact: Annotated[Names, option("Fields of events whose values are not copied.")] = REDACT
    text_limit: Annotated[Count, option("Maximum characters of a text within an event.")] = 16_000
    line_limit: Annotated[Count, option("Maximum characters of a line; Loki's default limit is 256 KiB.")] = 65_536
    batch_bytes: Annotated[
        int, Ge(1024), option("Maximum bytes of a push before compression; Loki's default limit is 4 MiB.")
    ] = 1_048_576

    @property
    def enabled(self) -> bool:
        return bool(self.url) and bool(self.loki_url.get_secret_value())


@dataclass(frozen=True)
class JournalSnapshot:
    """The state of the forwarding."""

    copies: dict[str, StreamCopy]
    """Position and counters by stream."""
    retries: int
    problem: SourceError | None
    """Why a stream, or all of them, is not copied now."""


class Journal(Source, Target[JournalSnapshot]):
    """Forwards events to Loki in a task of its own."""

    kind: ClassVar[str] = "journal"
    metrics: ClassVar[tuple[Metric, ...]] = (ENTRIES, DROPPED, MISSED, POSITION, PENDING, RETRIES, DELAY)
    options_type: ClassVar[type[SourceOptions]] = JournalOptions

    def __init__(self, options: JournalOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._forwarder: LokiForwarder | None = None
        self._started = asyncio.Event()

    @property
    def server(self) -> str:
        return self.options.loki_url.server

    async def run(self) -> None:
        options = self.options
        redact = frozenset(name.lower() for name in options.redact)
        nats = NatsServer.model_construct(**{name: getattr(options, name) for name in NatsServer.model_fields})
        self._forwarder = LokiForwarder(
            nats,
            self._client(),
            Style(redact, options.text_limit, options.line_limit),
            streams=options.streams,
            timeout=options.timeout,
            batch_bytes=options.batch_bytes,
        )
        self._started.set()
        await self._forwarder.run()

    async def wait_synced(self) -> None:
        await self._tried()

    async def collect(self) -> JournalSnapshot:
        forwarder = await self._tried()
        problem = next(iter(forwarder.problems.values()), None)
        return JournalSnapshot(copy.deepcopy(forwarder.copies), forwarder.retries, problem)

    async def _tried(self) -> LokiForwarder:
        """The forwarder, once its first attempt has succeeded or failed."""
        await self._started.wait()
        assert self._forwarder is not None
        await self._forwarder.tried.wait()
        return self._forwarder

    def samples(self, snapshot: JournalSnapshot) -> Iterable[Sample]:
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

    def failure(self, snapshot: JournalSnapshot) -> SourceError | None:
        return snapshot.problem

    def _client(self) -> LokiClient:
        options = self.options
        headers = {"X-Scope-OrgID": options.loki_tenant} if options.loki_tenant else {}
        if token := options.loki_token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        auth = (options.loki_user, options.loki_password.get_secret_value()) if options.loki_user else None
        verify = str(options.loki_ca_file) if options.loki_ca_file else True
        return LokiClient(options.loki_url, timeout=options.timeout, headers=headers, auth=auth, verify=verify)
