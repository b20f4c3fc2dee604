"""The durable copy: every event of every stream that keeps its messages goes to Loki, each once.

It reads the streams by itself, at the pace at which Loki takes what it is given, so that a slow Loki harms nothing. It
writes its position nowhere: what Loki holds already is the position, asked for at every start.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import httpx
import msgspec
from pydantic import PrivateAttr, SecretStr

from exporter.clients.jetstream import Stream, StreamInfo
from exporter.clients.loki import LokiClient
from exporter.clients.nats import Connection, NatsServer, first_of
from exporter.config.address import Address, HttpAddress
from exporter.config.options import Count, Names, Options, Secret, option
from exporter.errors import Reason, SourceError
from exporter.events.model import Message
from exporter.events.ordered_reader import Lost, Start, StreamGone, StreamReader
from exporter.events.redaction import REDACT
from exporter.events.streams import How, how_to_read, wanted
from exporter.events.timestamps import instant
from exporter.fleet.limits import Admitted
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, histogram, labels
from exporter.source import LegacySource
from exporter.sources.journal.entries import Position, Style, entry, label_limiter, last_position, push_body, rejected

ENTRIES = counter("fleet_journal_entries_total", "Events copied to Loki.", "stream")
REJECTED = counter("fleet_journal_rejected_entries_total", "Events that Loki refused for good (status 400).", "stream")
MISSED = counter(
    "fleet_journal_missed_messages_total", "Messages that were deleted from their stream before they were copied.", "stream"
)
POSITION = gauge("fleet_journal_position", "Sequence of the last message that Loki is known to hold.", "stream")
PENDING = gauge("fleet_journal_pending_messages", "Messages of a stream that are still to be copied.", "stream")
RETRIES = counter("fleet_journal_retries_total", "Pushes to Loki that failed and were tried again.")
DELAY = histogram(
    "fleet_journal_delay_seconds",
    "Time from the stream's storing of an event to Loki's having it.",
    "stream",
    unit=Unit.SECONDS,
)
DELAYS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0)

T = TypeVar("T")

log = logging.getLogger(__name__)

_LOOK_AGAIN = 10.0
_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
_LONGEST_QUERY = 30 * 86400
"""Seconds that Loki lets a query span unless it is told otherwise (721 h)."""


def _not_begun() -> dict[str | None, SourceError]:
    return {None: SourceError(Reason.UNREACHABLE, "the journal has not begun yet")}


@dataclass(slots=True)
class _Copy:
    """How far one stream has been copied."""

    created: str
    position: Position
    delay: Histogram
    pending: int = 0
    entries: int = 0
    rejected: int = 0
    missed: int = 0


class Journal(NatsServer, LegacySource):
    """Copies to one Loki; on when that has an address and NATS has."""

    kind: ClassVar[str] = "journal"
    metrics: ClassVar[tuple[Metric, ...]] = (ENTRIES, REJECTED, MISSED, POSITION, PENDING, RETRIES, DELAY)
    same_server_as: ClassVar[tuple[str, type[Options]] | None] = ("jetstream", NatsServer)

    loki_url: Annotated[HttpAddress, option("http:// or https:// address of Loki.", env="LOKI_URL")] = Address("")
    loki_user: Annotated[str, option("User name at Loki.")] = ""
    loki_password: Annotated[Secret, option("Password at Loki.")] = SecretStr("")
    loki_token: Annotated[Secret, option("Bearer token at Loki.")] = SecretStr("")
    loki_tenant: Annotated[str, option("Tenant at Loki (X-Scope-OrgID).")] = ""
    loki_ca_file: Annotated[Path | None, option("Certificate authority of Loki.")] = None
    streams: Annotated[Names, option("Streams to copy; all that keep their messages when none is named.")] = ()
    redact: Annotated[Names, option("Fields of events whose values are not copied.")] = REDACT
    text_limit: Annotated[Count, option("Characters copied of a text in an event; long ones are an LLM's.")] = 16_000
    line_limit: Annotated[Count, option("Characters of a line; Loki refuses lines of more than 256 KiB.")] = 65_536

    _copies: dict[str, _Copy] = PrivateAttr(default_factory=dict)
    _problems: dict[str | None, SourceError] = PrivateAttr(default_factory=_not_begun)
    """Why a stream is not copied now; under None, why none is."""
    _tried: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _retries: int = PrivateAttr(0)
    _client: LokiClient = PrivateAttr()

    @property
    def enabled(self) -> bool:
        return bool(self.url) and bool(self.loki_url.get_secret_value())

    @property
    def server(self) -> str:
        return self.loki_url.server

    async def wait_synced(self) -> None:
        await self._tried.wait()

    async def collect(self) -> Iterable[Sample]:
        await self._tried.wait()
        for problem in self._problems.values():
            raise problem
        found = [RETRIES(self._retries)]
        for name, copy in self._copies.items():
            owner = labels(stream=name)
            found += [
                ENTRIES.at(owner, copy.entries),
                REJECTED.at(owner, copy.rejected),
                MISSED.at(owner, copy.missed),
                POSITION.at(owner, copy.position.sequence),
                PENDING.at(owner, copy.pending),
                copy.delay.sample(DELAY, owner),
            ]
        return found

    async def run(self) -> None:
        """Copy until cancelled."""
        nats = NatsServer.model_construct(**{name: getattr(self, name) for name in NatsServer.model_fields})
        attempt = 0
        self._client = self._loki()
        try:
            while True:
                connection = Connection(nats, timeout=self.timeout)
                try:
                    await connection.open()
                    await self._copy_all(connection)
                    attempt = 0
                except SourceError as error:
                    self._problems[None] = error
                except (OSError, TimeoutError) as error:
                    self._problems[None] = SourceError(Reason.UNREACHABLE, f"NATS: {error or 'no answer'}")
                finally:
                    await connection.close()
                self._tried.set()
                await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
                attempt += 1
        finally:
            await self._client.close()

    def _loki(self) -> LokiClient:
        headers = {"X-Scope-OrgID": self.loki_tenant} if self.loki_tenant else {}
        if token := self.loki_token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        auth = (self.loki_user, self.loki_password.get_secret_value()) if self.loki_user else None
        verify = str(self.loki_ca_file) if self.loki_ca_file else True
        return LokiClient(self.loki_url, headers=headers, auth=auth, timeout=self.timeout, verify=verify)

    async def _copy_all(self, connection: Connection) -> None:
        """Every stream side by side, until the connection to NATS is lost."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while not connection.lost.is_set():
                streams = {stream.config.name: stream for stream in wanted(await connection.streams(), self.streams)}
                kept = {name: one for name, one in streams.items() if how_to_read(one) is How.CONSUMER}
                if not kept:  # nothing to ask Loki for, and yet it is told whether Loki is there
                    await self._patiently(None, lambda: self._client.ask("GET", "/loki/api/v1/status/buildinfo"))
                    self._tried.set()
                self._problems = {name: problem for name, problem in self._problems.items() if name in kept}
                for name in tasks.keys() - kept.keys():
                    tasks.pop(name).cancel()
                    self._copies.pop(name, None)
                for name, stream in kept.items():
                    known = self._copies.get(name)
                    if name in tasks and known is not None and known.created != stream.created:
                        tasks.pop(name).cancel()
                    if name not in tasks or tasks[name].done():
                        tasks[name] = asyncio.create_task(self._copy(connection, stream), name=f"copy {name}")
                await first_of(connection.lost, within=_LOOK_AGAIN)
            self._problems[None] = SourceError(Reason.UNREACHABLE, "NATS: the connection was lost")
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _copy(self, connection: Connection, stream: Stream) -> None:
        """One stream, from what Loki holds of it on."""
        name = stream.config.name
        position = await self._patiently(name, lambda: self._position(stream))
        # Asked for after the position, so that what another exporter has copied meanwhile is not taken for the future.
        try:
            last = (await connection.ask(f"STREAM.INFO.{name}", StreamInfo)).state.last_seq
        except SourceError as error:
            self._problems[name] = error
            self._tried.set()
            return
        if position.sequence > last:
            position = Position()
        self._tried.set()
        copy = self._copies[name] = _Copy(stream.created, position, Histogram(DELAYS))
        style = Style(frozenset(field.lower() for field in self.redact), self.text_limit, self.line_limit)
        roles = label_limiter()
        while True:
            reader = StreamReader(connection, name, Start(sequence=copy.position.sequence + 1))
            try:
                await reader.open()
                self._problems.pop(name, None)
                copy.pending = reader.pending
                async for messages in reader.batches():
                    await self._push(name, copy, messages, style, roles)
                    copy.pending = reader.pending
            except Lost:
                continue
            except StreamGone:
                return
            except SourceError as error:
                self._problems[name] = error
                if not connection.is_open:
                    return
                await asyncio.sleep(_PAUSES[-1])
            finally:
                await reader.close()

    async def _position(self, stream: Stream) -> Position:
        """The last message of this stream that Loki holds; none of an earlier stream of the same name counts."""
        created = int((instant(stream.created)[0] or 0.0) * 1e9)
        now = time.time()
        query = {
            "query": f"{{stream={msgspec.json.encode(stream.config.name).decode()}}}",
            "direction": "backward",
            "limit": "1",
            "start": str(max(created, int((now - _LONGEST_QUERY) * 1e9))),
            "end": str(int((now + 3600) * 1e9)),
        }
        reply = await self._client.ask("GET", "/loki/api/v1/query_range", params=query)
        try:
            return last_position(reply.content)
        except (msgspec.DecodeError, ValueError):
            raise SourceError(Reason.MALFORMED, f"Loki at {self.server} answers a query with something else") from None

    async def _push(self, name: str, copy: _Copy, messages: Sequence[Message], style: Style, roles: Admitted) -> None:
        position, entries = copy.position, []
        for message in messages:
            if message.sequence <= position.sequence:
                continue
            if position.sequence:
                copy.missed += message.sequence - position.sequence - 1
            written = entry(message, position, style, roles)
            entries.append(written)
            position = Position(message.sequence, written.nanoseconds)
        if not entries:
            return
        body = push_body(entries)
        compressed = await asyncio.to_thread(gzip.compress, body, 1) if len(body) > 8192 else gzip.compress(body, 1)
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        request = {"content": compressed, "headers": headers}
        reply = await self._patiently(name, lambda: self._client.ask("POST", "/loki/api/v1/push", **request))
        refused = rejected(reply.text, len(entries)) if reply.status_code == httpx.codes.BAD_REQUEST else 0
        if refused:
            if not copy.rejected:
                log.warning("Loki refused events", extra={"stream": messages[0].stream, "error": reply.text[:300]})
            copy.rejected += refused
        copy.entries += len(entries) - refused
        copy.position = position
        seen = time.time()
        for message in messages:
            copy.delay.observe(max(seen - message.stored, 0.0))

    async def _patiently(self, stream: str | None, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until it is answered, after a longer pause each time; meanwhile that is the stream's problem."""
        attempt = 0
        while True:
            try:
                answer = await ask()
            except SourceError as error:
                self._problems[stream] = error
                self._retries += 1
                self._tried.set()
            else:
                if attempt:
                    self._problems.pop(stream, None)
                return answer
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1
