"""Live consumer of the fleet's streams, without side effects on them.

Streams with limits retention are read in order by an ephemeral consumer, from the last position. Work-queue and
interest streams are read with a plain subscription, because a consumer would take messages from the fleet. Subjects
without a stream are not subscribed to: publishers would wait for an ack that a subscription cannot give.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from exporter.clients.backoff import Backoff
from exporter.clients.cancellation import cancellable
from exporter.clients.concurrency import first_of
from exporter.clients.jetstream import Stream
from exporter.clients.nats import Connection
from exporter.clients.nats_server import NatsServer
from exporter.errors import Reason, SourceError, reason_of
from exporter.events.model import Message
from exporter.events.ordered_reader import Lost, Start, StreamGone, StreamReader
from exporter.events.replay import Skipped, messages_since
from exporter.events.streams import DeliveryMode, StreamCursor, delivery_mode, wanted

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription


_LOOK_AGAIN = 10.0
"""Seconds between two lists of the streams; an advisory about a change triggers one immediately."""
_AT_ONCE = 200
"""Messages processed before other tasks run: about two milliseconds."""

ACK_SAMPLES = "$JS.EVENT.METRIC.CONSUMER.ACK.>"
CONSUMER_ADVISORIES = "$JS.EVENT.ADVISORY.CONSUMER.>"
STREAM_ADVISORIES = "$JS.EVENT.ADVISORY.STREAM.>"
# Not $JS.EVENT.ADVISORY.>: that includes an audit advisory with the whole reply for every API request.


def _backoff() -> Backoff:
    """The delays between attempts to connect, and to read one stream."""
    return Backoff(first=0.1, longest=2.0)


class Listener(Protocol):
    """Receives the messages from the consumer."""

    def reset(self) -> None:
        """The replay starts from the beginning; discard all state."""

    def on_replay_complete(self) -> None:
        """The replay is complete; further messages are live."""

    def message(self, message: Message, *, live: bool) -> None: ...

    def advisory(self, data: bytes) -> None:
        """An ack sample or an advisory about a consumer, as published by the server."""


class EventConsumer:
    """Reads until cancelled and passes messages to its listener.

    `problem` is why nothing can be read, None if healthy; `tried` is set after the first attempt. `losses` counts lost
    connections.

    """

    def __init__(
        self,
        server: NatsServer,
        *,
        timeout: float,
        lookback: float,
        streams: Sequence[str],
        listener: Listener,
    ) -> None:
        self.connection = Connection(server, timeout=timeout)
        self._lookback = lookback
        self._names = tuple(streams)
        self._listener = listener
        self._look = asyncio.Event()
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._caught_up = False
        self._began = 0.0
        self._unread: set[str] = set()
        self.cursors: dict[str, StreamCursor] = {}
        self.tried = asyncio.Event()
        self.problem: SourceError | None = SourceError(
            Reason.UNREACHABLE, "the first connection to NATS is not established yet"
        )
        self.disconnects = 0

    async def run(self) -> None:
        """Connect, read, and reconnect forever."""
        delays = _backoff()
        while True:
            was_open = False
            try:
                await self.connection.open()
                was_open = True
                with self.connection.losing():
                    await self._read()
                delays.reset()
                self.problem = self.connection.loss()
            except SourceError as error:
                self.problem = error
            except (OSError, TimeoutError) as error:
                self.problem = SourceError(reason_of(error), f"NATS: {error or 'no reply'}")
            finally:
                self.disconnects += was_open and not self.connection.is_open
                await self._stop()
            self.tried.set()
            await asyncio.sleep(delays.next())

    @property
    def refusal(self) -> SourceError | None:
        """Why no stream can be read, if NATS refuses all of them."""
        streams = tuple(self.cursors.values())
        return streams[0].refusal if streams and all(one.mode is DeliveryMode.REFUSED for one in streams) else None

    async def _read(self) -> None:
        """Read until the connection is lost."""
        client = self.connection.client
        for subject in (ACK_SAMPLES, CONSUMER_ADVISORIES, STREAM_ADVISORIES):
            await client.subscribe(subject, cb=self._advised)
        streams, offline = await self._list()
        if not self._caught_up:
            self._began, self._unread = time.time(), set(offline)
            last = {
                stream.config.name: stream.state.last_seq
                for stream in streams
                if delivery_mode(stream) is DeliveryMode.CONSUMER
            }
            skipped = await self._read_back(last)
            for stream in streams:
                found = self._follow(stream)
                found.position = last.get(found.name, 0)
                if (error := skipped.get(found.name)) is not None:
                    found.refuse(error)
            self._caught_up = True
            self._listener.on_replay_complete()
        lost, reached = self.connection.lost, self._reached()
        while not lost.is_set():
            await self._adopt(streams, offline, reached)
            self.problem = None
            self.tried.set()
            await first_of(lost, self._look, within=_LOOK_AGAIN)
            self._look.clear()
            if not lost.is_set():
                # Taken before the list request, because readers continue during it and pass the listed sequences.
                reached = self._reached()
                streams, offline = await self._list()

    async def _list(self) -> tuple[list[Stream], list[str]]:
        """(streams to read, names of offline streams)."""
        found, offline, _ = await self.connection.stream_list()
        return wanted(found, self._names, offline), offline

    async def _read_back(self, last: Mapping[str, int]) -> Skipped:
        self._listener.reset()
        since, skipped = time.time() + self.connection.clock.ahead - self._lookback, Skipped()
        async for messages in messages_since(self.connection, last, since, skipped):
            for start in range(0, len(messages), _AT_ONCE):
                for message in messages[start : start + _AT_ONCE]:
                    self._listener.message(message, live=False)
                await asyncio.sleep(0)
        return skipped

    def _follow(self, stream: Stream) -> StreamCursor:
        config = stream.config
        found = StreamCursor(config.name, delivery_mode(stream), stream.created, tuple(config.subjects or ()))
        if (known := self.cursors.get(config.name)) is not None:
            found.restarts, found.skipped, found.repeated = known.restarts, known.skipped, known.repeated
        self.cursors[config.name] = found
        return found

    def _reached(self) -> dict[str, int]:
        """The last sequence read from each stream."""
        return {name: stream.position for name, stream in self.cursors.items()}

    async def _adopt(self, streams: Sequence[Stream], offline: Collection[str], reached: Mapping[str, int]) -> None:
        """Start new streams, restart recreated ones, stop removed ones.

        An offline stream keeps its position, and its reader retries: its messages were read before. `reached` has the
        position of each stream before the list request.

        """
        here = {stream.config.name: stream for stream in streams}
        await self._forget_absent(here, offline)
        for name, stream in here.items():
            known = self.cursors.get(name)
            if known is None:
                known = self._follow(stream)
                if name in self._unread:  # offline at startup: older messages were counted by the previous process
                    known.since = self._began
            elif not known.follows(stream):
                await self._let_go(name)
                position = known.position if known.created == stream.created else 0
                known = self._follow(stream)
                known.position = position
                known.restarts["recreated"] += not position
            if known.position and reached.get(name, 0) > stream.state.last_seq:
                # The sequence went back without a new stream: all messages in the stream are new.
                await self._let_go(name)
                known.position = 0
                known.restarts["sequence"] += 1
            if known.mode is DeliveryMode.OFFLINE:
                known.mode = delivery_mode(stream)
            self._unread.discard(name)
            if delivery_mode(stream) is DeliveryMode.CONSUMER:
                if name not in self._readers or self._readers[name].done():
                    self._readers[name] = asyncio.create_task(self._read_stream(known), name=f"read {name}")
            elif name not in self._subscriptions:
                await self._subscribe(known)

    async def _forget_absent(self, present: Collection[str], offline: Collection[str]) -> None:
        for name in tuple(self.cursors):
            if name in offline:
                self.cursors[name].mode = DeliveryMode.OFFLINE
            elif name not in present:
                await self._let_go(name)
                del self.cursors[name]

    async def _read_stream(self, followed: StreamCursor) -> None:
        """Read from the position on; a lost consumer is replaced immediately."""
        delays, has_failed = _backoff(), False
        while True:
            start = Start(sequence=followed.position + 1, time=None if followed.position else followed.since)
            reader = StreamReader(self.connection, followed.name, start)
            try:
                await reader.open()
                if start.time is not None:
                    followed.position, followed.since = reader.position, None
                followed.pending, followed.mode, followed.refusal = reader.pending, DeliveryMode.CONSUMER, None
                async for messages in reader.batches():
                    await self._take(followed, messages)
                    followed.pending, has_failed = reader.pending, False
                    delays.reset()
            except Lost as lost:
                followed.restarts[str(lost)] += 1
            except StreamGone:
                self._look.set()
                return
            except SourceError as error:
                if not self.connection.is_open:
                    return
                followed.refuse(error)
            finally:
                await reader.close()
            await asyncio.sleep(delays.next() if has_failed else 0)
            has_failed = True

    async def _take(self, followed: StreamCursor, messages: Sequence[Message]) -> None:
        for start in range(0, len(messages), _AT_ONCE):
            for message in messages[start : start + _AT_ONCE]:
                sequence = message.sequence
                if sequence <= followed.position:
                    followed.repeated += 1
                    continue
                followed.skipped += sequence - followed.position - 1
                followed.position = sequence
                self._listener.message(message, live=True)
            await asyncio.sleep(0)

    async def _subscribe(self, followed: StreamCursor) -> None:
        name = followed.name

        async def take(message: Msg) -> None:
            self._listener.message(Message(message.subject, message.data, time.time(), name), live=True)

        client = self.connection.client
        self._subscriptions[name] = [await client.subscribe(subject, cb=take) for subject in followed.subjects]
        await cancellable(client.flush())  # no message is missed from here on

    async def _let_go(self, name: str) -> None:
        if (reader := self._readers.pop(name, None)) is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        for subscription in self._subscriptions.pop(name, ()):
            await subscription.unsubscribe()

    async def _advised(self, message: Msg) -> None:
        if message.subject.startswith(STREAM_ADVISORIES[:-1]):
            self._look.set()
        else:
            self._listener.advisory(message.data)

    async def _stop(self) -> None:
        for reader in self._readers.values():
            reader.cancel()
        await asyncio.gather(*self._readers.values(), return_exceptions=True)
        self._readers.clear()
        self._subscriptions.clear()
        await self.connection.close()
