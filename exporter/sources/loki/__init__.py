"""Forwards every event of streams with limits retention to Loki, exactly once."""

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
from exporter.clients.nats_server import NatsServer
from exporter.clients.tls import client_context
from exporter.config.address import Address, HttpAddress, NatsAddresses
from exporter.config.options import Count, Names, Options, Secret, option
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import SourceError
from exporter.events.redaction import REDACT
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels
from exporter.source import Source, SourceOptions, Target
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


class LokiOptions(SourceOptions):
    """Forwarding of events to one Loki; enabled if both NATS and Loki have an address."""

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = ("jetstream", NatsServer)
    same_server_prefix: ClassVar[str] = "nats_"

    url: Annotated[HttpAddress, option("http:// or https:// address of Loki.", env="LOKI_URL")] = Address("")
    user: Annotated[str, option("Loki user name.")] = ""
    password: Annotated[Secret, option("Loki password.")] = SecretStr("")
    token: Annotated[Secret, option("Loki bearer token.")] = SecretStr("")
    tenant: Annotated[str, option("Loki tenant (X-Scope-OrgID).")] = ""
    ca_file: Annotated[Path | None, option("CA certificates for Loki, in addition to the system's.")] = None
    streams: Annotated[Names, option("Streams to copy; default: all with limits retention.")] = ()
    redact: Annotated[Names, option("Fields of events whose values are not copied.")] = REDACT
    text_limit: Annotated[Count, option("Maximum characters of a text within an event.")] = 16_000
    line_limit: Annotated[Count, option("Maximum characters of a line; Loki's default limit is 256 KiB.")] = 65_536
    batch_bytes: Annotated[
        int, Ge(1024), option("Maximum bytes of a push before compression; Loki's default limit is 4 MiB.")
    ] = 1_048_576

    nats_url: Annotated[NatsAddresses, option("NATS addresses; default: the addresses and credentials of jetstream.")] = ()
    nats_user: Annotated[str, option("NATS user name.")] = ""
    nats_password: Annotated[Secret, option("NATS password.")] = SecretStr("")
    nats_token: Annotated[Secret, option("NATS token.")] = SecretStr("")
    nats_nkey_file: Annotated[Path | None, option("File with an nkey seed for NATS.")] = None
    nats_credentials_file: Annotated[Path | None, option("File with the JWT and seed of a NATS user.")] = None
    nats_ca_file: Annotated[Path | None, option("CA certificates for NATS, in addition to the system's.")] = None
    nats_cert_file: Annotated[Path | None, option("Client certificate for NATS, for mutual TLS.")] = None
    nats_key_file: Annotated[Path | None, option("Private key of the client certificate for NATS.")] = None
    nats_api_prefix: Annotated[str, option("Prefix of the JetStream API, $JS.DOMAIN.API for a domain.")] = "$JS.API"
    nats_inbox_prefix: Annotated[str, option("Prefix of NATS reply subjects.")] = "_INBOX"
    nats_delete_consumers: Annotated[bool, option("Delete the copy's ephemeral consumers after use.")] = True

    @property
    def nats(self) -> NatsServer:
        """The NATS whose streams are copied."""
        return NatsServer.model_construct(**{name: getattr(self, f"nats_{name}") for name in NatsServer.model_fields})

    @property
    def enabled(self) -> bool:
        return bool(self.nats_url) and bool(self.url.get_secret_value())


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
    options_type: ClassVar[type[SourceOptions]] = LokiOptions

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
