"""Stored messages, in either direction from a position; JetStream consumers cannot read backwards."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from exporter.clients.nats import Connection
from exporter.errors import Reason, SourceError
from exporter.events.model import Event, Message
from exporter.events.ordered_reader import Start, StreamGone, StreamReader
from exporter.events.replay import Skipped, StreamRange, messages_since

_CHUNK: Final = 500
_CHUNK_MESSAGES: Final = 5000
"""Messages per backward step; fewer at first, because most requests are small."""
_CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Bytes held per stream; the older part of a larger chunk is read again later."""
_AFTER_ALL_STREAMS: Final = "\U0010ffff"
_CLOCK_STEP: Final = 2e-6
"""Seconds; start times have microseconds, stored times are floats with a resolution of 0.25 µs."""


class StoragePosition(NamedTuple):
    """A position in storage order, total over all streams: at a message, or between two."""

    stored: float
    stream: str
    sequence: int

    @classmethod
    def of(cls, item: Message | Event) -> StoragePosition:
        return cls(item.stored, item.stream, item.sequence)

    @classmethod
    def before(cls, stored: float) -> StoragePosition:
        """Before all messages stored at that time."""
        return cls(stored, "", -1)

    @classmethod
    def after(cls, stored: float) -> StoragePosition:
        """After all messages stored at that time."""
        return cls(stored, _AFTER_ALL_STREAMS, 0)


Keep = Callable[[Message], bool]


class SearchStep(NamedTuple):
    """Matching messages in reading order, and the position up to which all messages were examined."""

    messages: Sequence[Message]
    reached: StoragePosition


class _Backwards:
    """A stream, read from a sequence down: chunks are read forwards, each before the previous one."""

    def __init__(self, connection: Connection, stream: str, first: int, last: int, skipped: Skipped) -> None:
        self._connection = connection
        self._skipped = skipped
        self._stream = stream
        self._first = first
        self._next = last
        self._span = _CHUNK
        self.held: deque[Message] = deque()
        self.lowest: float | None = None
        self.is_complete = last < first

    async def load(self, start: StoragePosition, since: float, keep: Keep) -> None:
        """Read the next chunk; afterwards all messages from `lowest` on have been examined."""
        bottom = max(self._first, self._next - self._span + 1)
        chunk: deque[Message] = deque()
        held, number, lowest = 0, 0, None
        messages = StreamRange(self._connection, self._stream, Start(sequence=bottom), self._next, self._skipped)
        try:
            while batch := await messages.next_batch():
                number += len(batch)
                lowest = batch[0].stored if lowest is None else lowest
                wanted = [message for message in batch if message.stored >= since and StoragePosition.of(message) < start]
                for message in wanted:
                    if keep(message):
                        chunk.append(message)
                        held += len(message.data)
                while held > _CHUNK_BYTES and len(chunk) > 1:
                    dropped = chunk.popleft()
                    held -= len(dropped.data)
                    bottom, lowest = dropped.sequence + 1, chunk[0].stored
        finally:
            with contextlib.suppress(Exception):
                await messages.close()
        self.held.extendleft(reversed(chunk))
        self._next = bottom - 1
        if lowest is not None:
            self.lowest = lowest
        is_done = bottom <= self._first or self._stream in self._skipped
        self.is_complete = is_done or (lowest is not None and lowest < since)
        # Deleted messages leave gaps of any size; steps grow to cross them.
        self._span = max(self._span // 2, _CHUNK) if number >= _CHUNK_MESSAGES else self._span * 2

    def take_above(self, stored: float) -> list[Message]:
        """Removes and returns the held messages stored after that time."""
        taken: list[Message] = []
        while self.held and self.held[-1].stored > stored:
            taken.append(self.held.pop())
        return taken


class History:
    """Streams with their first and last sequence at creation; later messages are not read.

    Streams that cannot be read, such as the `offline` ones, are left out and added to `skipped`. A stream that times out
    ends the steps instead, because its messages may be there at the next attempt.

    """

    def __init__(self, connection: Connection, streams: Mapping[str, tuple[int, int]], offline: Iterable[str] = ()) -> None:
        self._connection = connection
        self._streams = streams
        self.skipped: Skipped = {
            name: SourceError(Reason.UNREACHABLE, f"stream {name} is offline: no server that has it responds")
            for name in offline
        }

    async def newer(self, start: StoragePosition, until: float, keep: Keep) -> AsyncGenerator[SearchStep, None]:
        """Messages after a position, up to a time, oldest first. Raises SourceError."""
        last = {stream: last for stream, (_, last) in self._streams.items()}
        since = max(start.stored - _CLOCK_STEP, 0.0)
        async with aclosing(messages_since(self._connection, last, since, self.skipped)) as batches:
            async for batch in batches:
                self._check_timeouts()
                kept = [
                    message
                    for message in batch
                    if start < StoragePosition.of(message) and message.stored <= until and keep(message)
                ]
                yield SearchStep(kept, max(start, StoragePosition.of(batch[-1])))
                if batch[-1].stored > until:
                    return
        self._check_timeouts()
        self._check_any_read()

    async def older(self, start: StoragePosition, since: float, keep: Keep) -> AsyncGenerator[SearchStep, None]:
        """Messages before a position, from a time on, newest first. Raises SourceError."""
        streams = [
            _Backwards(self._connection, stream, first, await self._last_at(stream, start.stored, last), self.skipped)
            for stream, (first, last) in self._streams.items()
        ]
        self._check_any_read()
        while True:
            unread = [one for one in streams if not one.is_complete]
            top = max((one.lowest for one in unread if one.lowest is not None), default=None)
            for one in unread:
                if one.lowest is None or one.lowest == top:
                    await one.load(start, since, keep)
            self._check_timeouts()
            # No unread message is newer than the lowest examined time of every stream.
            lows = [one.lowest for one in streams if not one.is_complete]
            if any(low is None for low in lows):
                continue
            bound = max((low for low in lows if low is not None), default=None)
            found = [message for one in streams for message in one.take_above(since - 1 if bound is None else bound)]
            found.sort(key=StoragePosition.of, reverse=True)
            if bound is None:
                yield SearchStep(found, StoragePosition.before(since))
                return
            yield SearchStep(found, min(start, StoragePosition.after(bound)))

    def _check_any_read(self) -> None:
        """Raises SourceError if no stream can be read."""
        if self._streams and self._streams.keys() <= self.skipped.keys():
            raise next(iter(self.skipped.values()))

    def _check_timeouts(self) -> None:
        """Raises SourceError if a stream timed out: further steps would leave its messages out."""
        for stream, error in self.skipped.items():
            if error.reason is Reason.TIMEOUT:
                raise SourceError(Reason.TIMEOUT, f"stream {stream} does not respond; retry ({error})")

    async def _last_at(self, stream: str, stored: float, last: int) -> int:
        """The last sequence stored up to a time; ± messages of the same microsecond; 0 if the stream cannot be read."""
        reader = StreamReader(self._connection, stream, Start(time=stored + _CLOCK_STEP))
        try:
            await reader.open()
            return min(reader.position, last) if reader.pending else last
        except StreamGone:
            return 0
        except SourceError as error:
            if not self._connection.is_open:
                raise
            self.skipped[stream] = error
            self._check_timeouts()
            return 0
        finally:
            await reader.close()
