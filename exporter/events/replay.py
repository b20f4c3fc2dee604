"""Stored messages of several streams, in storage order."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from exporter.clients.backoff import Backoff
from exporter.clients.nats import Connection
from exporter.errors import SourceError
from exporter.events.model import Message
from exporter.events.ordered_reader import Lost, Start, StreamGone, StreamReader

Skipped = dict[str, SourceError]
"""Streams that cannot be read, and why."""


class StreamRange:
    """Messages of one stream from a Start up to a sequence, in batches.

    A stream that cannot be read ends; `skipped` keeps its name and the error.

    """

    def __init__(self, connection: Connection, stream: str, start: Start, last: int, skipped: Skipped) -> None:
        self._connection = connection
        self._stream = stream
        self._last = last
        self._start = start
        self._reader: StreamReader | None = None
        self._batches: AsyncIterator[list[Message]] | None = None
        self._ended = False
        self._skipped = skipped
        self._delays = Backoff(first=0.1, longest=2.0)

    async def next_batch(self) -> list[Message]:
        """The next batch; empty at the end. A lost consumer is replaced; a deleted stream ends.

        Raises SourceError if the connection is lost.

        """
        while not self._ended:
            try:
                if self._batches is None:
                    self._reader = StreamReader(self._connection, self._stream, self._start)
                    await self._reader.open()
                    self._ended = self._reader.pending == 0
                    self._batches = self._reader.batches()
                    continue
                batch = await anext(self._batches)
            except Lost:
                await self.close()
                self._batches = None
                await asyncio.sleep(self._delays.next())
                continue
            except StreamGone:
                break
            except SourceError as error:
                if not self._connection.is_open:
                    raise
                self._skipped[self._stream] = error  # continue with the other streams
                break
            assert self._reader is not None
            self._delays.reset()
            self._start = Start(sequence=batch[-1].sequence + 1)
            self._ended = self._reader.pending == 0 or batch[-1].sequence >= self._last
            return [message for message in batch if message.sequence <= self._last]
        return []

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()


async def messages_since(
    connection: Connection, last: Mapping[str, int], since: float, skipped: Skipped
) -> AsyncGenerator[Sequence[Message], None]:
    """Messages of the streams in `last` up to the given sequences, stored since a time; batches in storage order.

    Holds one batch per stream. `skipped` receives the streams that cannot be read. Raises SourceError if the connection is
    lost.

    """
    tails = [StreamRange(connection, stream, Start(time=since), sequence, skipped) for stream, sequence in last.items()]
    try:
        held = {tail: batch for tail in tails if (batch := await tail.next_batch())}
        while held:
            # Messages older than the newest message of every batch are complete.
            until = min(batch[-1].stored for batch in held.values())
            ready = []
            for tail, batch in tuple(held.items()):
                cut = next((index for index, message in enumerate(batch) if message.stored > until), len(batch))
                ready.append(batch[:cut])
                rest = batch[cut:] or await tail.next_batch()
                if rest:
                    held[tail] = rest
                else:
                    del held[tail]
            yield list(heapq.merge(*ready, key=lambda message: message.stored))
    finally:
        for tail in tails:
            with contextlib.suppress(Exception):
                await tail.close()
