"""Copies events from streams to Loki, each once, at Loki's pace.

The position is not stored: the newest entry in Loki is the position, queried at startup. A rejected batch is split down to
one entry; an entry that is rejected alone is dropped and counted. Streams are copied independently.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from exporter.clients.backoff import Backoff
from exporter.clients.concurrency import first_of
from exporter.clients.jetstream import Stream, StreamInfo
from exporter.clients.loki import LokiClient, PushRefused
from exporter.clients.nats import Connection
from exporter.clients.nats_server import NatsServer
from exporter.errors import Reason, SourceError, reason_of
from exporter.events.model import Message
from exporter.events.ordered_reader import Lost, Start, StreamGone, StreamReader
from exporter.events.streams import DeliveryMode, delivery_mode, wanted
from exporter.metrics.histogram import Histogram
from exporter.metrics.timestamps import instant
from exporter.sources.loki.entries import (
    Entry,
    LineStyle,
    LokiPosition,
    batches,
    entry,
    label_limiter,
    last_position,
    push_body,
)

DELAYS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0)
DROP_REASONS = {400: "invalid", 413: "too_large"}
"""Why an entry was dropped, by the status of Loki's refusal."""

T = TypeVar("T")

log = logging.getLogger(__name__)

_LOOK_AGAIN = 10.0
_RATE_LIMIT_RETRIES = 3
"""Pushes rejected by a rate limit before the batch is split, because the limit may be lower than the batch."""
_LONGEST_QUERY = 30 * 86400
"""Max. time range of a query in seconds under Loki's default limits (721 h)."""


def backoff() -> Backoff:
    """Delays between attempts to reach Loki and NATS."""
    return Backoff(first=0.1, longest=3.0)


@dataclass(slots=True)
class StreamCopy:
    """Position of one stream, and counters since startup."""

    created: str
    position: LokiPosition
    delay: Histogram = field(default_factory=lambda: Histogram(DELAYS))
    pending: int = 0
    entries: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Entries that Loki rejected permanently, by reason."""
    missed: int = 0


class StreamCopier:
    """Copies until cancelled; `copies`, `problems` and `retries` are its state."""

    def __init__(
        self,
        nats: NatsServer,
        loki: LokiClient,
        style: LineStyle,
        *,
        streams: Sequence[str],
        timeout: float,
        batch_bytes: int,
    ) -> None:
        self._nats = nats
        self._loki = loki
        self._style = style
        self._streams = streams
        self._timeout = timeout
        self._batch_bytes = batch_bytes
        self.copies: dict[str, StreamCopy] = {}
        self.problems: dict[str | None, SourceError] = {}
        """Why a stream is not copied; under None, why none is."""
        self.retries = 0
        self.tried = asyncio.Event()
        """Set after the first attempt has succeeded or failed."""

    async def run(self) -> None:
        delays = backoff()
        try:
            while True:
                connection = Connection(self._nats, timeout=self._timeout)
                try:
                    await connection.open()
                    await self._copy_all(connection)
                    delays.reset()
                except SourceError as error:
                    self.problems[None] = error
                except (OSError, TimeoutError) as error:
                    self.problems[None] = SourceError(reason_of(error), f"NATS: {error or 'no reply'}")
                finally:
                    await connection.close()
                self.tried.set()
                await asyncio.sleep(delays.next())
        finally:
            await self._loki.close()

    async def _copy_all(self, connection: Connection) -> None:
        """Copy all streams concurrently, until the connection to NATS is lost."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while not connection.lost.is_set():
                found, offline, _ = await connection.stream_list()
                streams = {stream.config.name: stream for stream in wanted(found, self._streams, offline)}
                kept = {name: one for name, one in streams.items() if delivery_mode(one) is DeliveryMode.CONSUMER}
                if not kept:  # nothing to query in Loki, but its state is reported
                    await self._retried(None, lambda: self._loki.get("/loki/api/v1/status/buildinfo"))
                    self.tried.set()
                self.problems = {name: problem for name, problem in self.problems.items() if name in kept}
                for name in tasks.keys() - kept.keys() - set(offline):
                    tasks.pop(name).cancel()
                    self.copies.pop(name, None)
                for name, stream in kept.items():
                    known = self.copies.get(name)
                    if name in tasks and known is not None and known.created != stream.created:
                        tasks.pop(name).cancel()
                    if name not in tasks or tasks[name].done():
                        tasks[name] = asyncio.create_task(self._copy(connection, stream), name=f"copy {name}")
                await first_of(connection.lost, within=_LOOK_AGAIN)
            self.problems[None] = connection.loss()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _copy(self, connection: Connection, stream: Stream) -> None:
        """Copy one stream from its position in Loki on."""
        name = stream.config.name
        position = await self._retried(name, lambda: self._position(stream))
        # Queried after the position, so entries copied by another exporter are in the past.
        try:
            last = (await connection.ask(f"STREAM.INFO.{name}", StreamInfo)).state.last_seq
        except SourceError as error:
            self.problems[name] = error
            self.tried.set()
            return
        if position.sequence > last:
            position = LokiPosition()
        self.tried.set()
        copy = self.copies.setdefault(name, StreamCopy(stream.created, position))
        copy.created, copy.position = stream.created, position  # the counters continue
        roles, delays = label_limiter(), backoff()
        while True:
            reader = StreamReader(connection, name, Start(sequence=copy.position.sequence + 1))
            try:
                await reader.open()
                self.problems.pop(name, None)
                copy.pending = reader.pending
                async for messages in reader.batches():
                    delays.reset()
                    copy.pending = reader.pending + len(messages)
                    entries = self._entries(copy, messages, roles)
                    for batch in batches(entries, self._batch_bytes):
                        await self._push(name, copy, batch)
                    copy.pending = reader.pending
            except Lost:
                await asyncio.sleep(delays.next())
            except StreamGone:
                return
            except SourceError as error:
                self.problems[name] = error
                if not connection.is_open:
                    return
                await asyncio.sleep(delays.next())
            finally:
                await reader.close()

    def _entries(self, copy: StreamCopy, messages: Sequence[Message], roles: Callable[[str], str]) -> list[Entry]:
        """Entries of the messages after the position; counts deleted messages in between."""
        position, found = copy.position, []
        for message in messages:
            if message.sequence <= position.sequence:
                continue
            if position.sequence:
                copy.missed += message.sequence - position.sequence - 1
            written = entry(message, position, self._style, roles)
            found.append(written)
            position = LokiPosition(message.sequence, written.nanoseconds)
        return found

    async def _position(self, stream: Stream) -> LokiPosition:
        """The last message of this stream in Loki; entries of a previous stream of the same name are ignored."""
        created = int((instant(stream.created)[0] or 0.0) * 1e9)
        now = time.time()
        query = {
            "query": f"{{stream={msgspec.json.encode(stream.config.name).decode()}}}",
            "direction": "backward",
            "limit": "1",
            "start": str(max(created, int((now - _LONGEST_QUERY) * 1e9))),
            "end": str(int((now + 3600) * 1e9)),
        }
        response = await self._loki.get("/loki/api/v1/query_range", query)
        try:
            return last_position(response.content)
        except (msgspec.DecodeError, ValueError):
            sentence = f"Loki at {self._loki.server}: expected the result of a query, got something else"
            raise SourceError(Reason.MALFORMED, sentence) from None

    async def _push(self, name: str, copy: StreamCopy, entries: Sequence[Entry]) -> None:
        """Push until every entry is accepted or dropped; the position advances with each accepted push."""
        delays, refusals = backoff(), 0
        body = push_body(entries)
        compressed = await asyncio.to_thread(gzip.compress, body, 1) if len(body) > 8192 else gzip.compress(body, 1)
        while True:
            pause = delays.next()
            try:
                await self._loki.push(compressed, encoding="gzip")
            except PushRefused as refused:
                refusals += 1
                if len(entries) > 1 and (not refused.is_rate_limit or refusals >= _RATE_LIMIT_RETRIES):
                    middle = len(entries) // 2
                    await self._push(name, copy, entries[:middle])
                    await self._push(name, copy, entries[middle:])
                    return
                if refused.is_final:
                    self._drop(name, copy, entries[0], refused)
                    return
                self._fail(name, SourceError(Reason.UNREACHABLE, str(refused)))
                pause = max(pause, refused.retry_after or 0.0)
            except SourceError as error:
                self._fail(name, error)
            else:
                self.problems.pop(name, None)
                copy.entries += len(entries)
                now = time.time()
                for one in entries:
                    copy.delay.observe(max(now - one.nanoseconds / 1e9, 0.0))
                copy.position = LokiPosition(entries[-1].sequence, entries[-1].nanoseconds)
                return
            await asyncio.sleep(pause)

    def _drop(self, name: str, copy: StreamCopy, one: Entry, refused: PushRefused) -> None:
        reason = DROP_REASONS[refused.status]
        if not copy.dropped[reason]:
            log.warning(
                "Loki refuses entries; they are dropped and counted",
                extra={"stream": name, "sequence": one.sequence, "reason": reason, "error": str(refused)},
            )
        copy.dropped[reason] += 1
        copy.position = LokiPosition(one.sequence, one.nanoseconds)

    def _fail(self, stream: str | None, error: SourceError) -> None:
        self.problems[stream] = error
        self.retries += 1
        self.tried.set()

    async def _retried(self, stream: str | None, request: Callable[[], Awaitable[T]]) -> T:
        """Retry a request until it succeeds; until then, its error is the stream's problem."""
        delays = backoff()
        while True:
            try:
                result = await request()
            except SourceError as error:
                self._fail(stream, error)
            else:
                if self.problems.get(stream) is not None:
                    self.problems.pop(stream)
                return result
            await asyncio.sleep(delays.next())
