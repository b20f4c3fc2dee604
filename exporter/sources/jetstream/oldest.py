"""Storage time of the oldest outstanding message of a lagging consumer, from STREAM.MSG.GET.

A consumer's info has only the ack floor, so the message is looked up: the first stored one above the floor that matches
the consumer's filters. If nothing is in flight, it is the first one above the last delivery.

The floor does not show whether the next message is outstanding or exceeded max_deliver. Consumers for which that cannot be
excluded are omitted, and consumers with deliver_policy last_per_subject as long as the message is older than the consumer,
because most of those messages will never be delivered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter.clients.concurrency import together
from exporter.clients.jetstream import MessageReply, Stream
from exporter.clients.nats import Connection
from exporter.errors import Reason, SourceError
from exporter.metrics.timestamps import seconds
from exporter.sources.jetstream.snapshot import ConsumerKey, ConsumerRow

_TIMEOUT = 1.0
"""Seconds per lookup; a stream without a leader does not respond, and must not delay the other metrics."""

_State = tuple[int, int, int]
"""(sequence to search from, first sequence, deleted messages): while these are the same, so is the message found."""


def search_from(row: ConsumerRow) -> int | None:
    """The lowest sequence that may be outstanding; None if the consumer's info does not determine it. Pure."""
    consumer, config = row.consumer, row.parsed.config
    delivered, floor = consumer.delivered.stream_seq, consumer.ack_floor.stream_seq
    if config.ack_policy == "none" or consumer.num_ack_pending == 0:
        return delivered + 1
    all_outstanding = delivered - floor == consumer.num_ack_pending
    # The server keeps counting messages over max_deliver as redelivered, except where the first delivery is the last.
    may_be_over = config.max_deliver == 1 or (config.max_deliver > 0 and consumer.num_redelivered > 0)
    return None if may_be_over and not all_outstanding else floor + 1


@dataclass(frozen=True)
class _Lookup:
    row: ConsumerRow
    state: _State


class OldestUnacked:
    """Looks messages up, at most `limit` per collection, and keeps each until something that it depends on changes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: dict[ConsumerKey, tuple[_State, float]] = {}
        self._is_refused = False
        self.failed: Counter[str] = Counter()
        """By stream, failed lookups of the last `update`, including those not made because the account may not make them."""

    def reset(self) -> None:
        """Try again what was refused: another connection may have other permissions."""
        self._is_refused = False

    async def update(
        self, connection: Connection, streams: Iterable[Stream], rows: Sequence[ConsumerRow]
    ) -> Mapping[ConsumerKey, float]:
        """Seconds since 1970 by consumer. A failed lookup leaves its consumer out."""
        by_name = {stream.config.name: stream.state for stream in streams}
        wanted: dict[ConsumerKey, _Lookup] = {}
        for row in sorted(rows, key=lambda row: -row.consumer.lag):
            if row.consumer.lag <= 0:
                break
            state, start = by_name.get(row.stream), search_from(row)
            if state is not None and start is not None:
                wanted[row.key] = _Lookup(row, (max(start, state.first_seq), state.first_seq, state.num_deleted))
        self._found = {key: found for key, found in self._found.items() if key in wanted and found[0] == wanted[key].state}
        due = [lookup for key, lookup in wanted.items() if key not in self._found][: self._limit]
        self.failed = Counter()
        if due and not self._is_refused:  # first only one: it may show that all are refused
            await self._look_up(connection, due.pop(0))
        if self._is_refused:
            self.failed.update(lookup.row.stream for lookup in due)
        else:
            await together([self._look_up(connection, lookup) for lookup in due])
        return {key: moment for key, (_, moment) in self._found.items()}

    async def _look_up(self, connection: Connection, lookup: _Lookup) -> None:
        row, subject = lookup.row, f"STREAM.MSG.GET.{lookup.row.stream}"
        oldest: tuple[int, float] | None = None
        try:
            async with asyncio.timeout(_TIMEOUT):
                for filter_subject in row.parsed.config.filters or (">",):
                    reply = await connection.ask(subject, MessageReply, seq=lookup.state[0], next_by_subj=filter_subject)
                    message = reply.message
                    if message is not None and (moment := seconds(message.time)) is not None:
                        oldest = min(oldest or (message.seq, moment), (message.seq, moment))
        except TimeoutError:
            self.failed[row.stream] += 1
            return
        except SourceError as error:
            if error.reason is Reason.UNREACHABLE and not connection.is_open:
                raise
            self._is_refused = self._is_refused or error.reason is Reason.UNAUTHORIZED
            self.failed[row.stream] += 1
            return
        if oldest is not None and not _may_be_skipped(row, oldest[1]):
            self._found[row.key] = (lookup.state, oldest[1])


def _may_be_skipped(row: ConsumerRow, stored: float) -> bool:
    """Whether the message may never be delivered, because a newer one on its subject was there first."""
    if row.parsed.config.deliver_policy != "last_per_subject":
        return False
    created = seconds(row.consumer.created)
    return created is None or stored < created
