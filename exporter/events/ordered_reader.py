"""Ordered reader of one stream: an ephemeral pull consumer without acks, deleted after use.

Messages are requested in batches, which bounds memory and does not slow down the server. After a loss (consumer gone,
delivery skipped, missed heartbeats) reading restarts from the next sequence.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.clients.jetstream import OWN_READER, CreatedConsumer, Reply
from exporter.clients.nats import Connection
from exporter.errors import SourceError
from exporter.events.model import Message
from exporter.metrics.timestamps import rfc3339

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

BATCH = 500
_BYTES = 16 * 1024 * 1024
"""Max. bytes per request; larger than the max_payload of common configurations."""
_EXPIRES = 30.0
_HEARTBEAT = 2.0
_SILENCE = 3 * _HEARTBEAT
_NANO = 1_000_000_000
_DELETE_SECONDS = 0.5
"""Seconds to wait for the deletion of the consumer; the request is sent in any case."""
_VANISHES_AFTER = 60.0
"""Seconds without a request after which the server deletes the consumer."""


_DOTS = 8
"""Position in the reply subject of a delivery without a domain."""

_REQUEST_IS_OVER = ("batch completed", "message size exceeds maxbytes")
"""Status 409 descriptions of requests that ended normally; every other 409 concerns the consumer."""


class Lost(Exception):
    """The consumer is gone or skipped a delivery; a new one continues at the same position."""


class StreamGone(Exception):
    """The stream does not exist any more."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to start: at a sequence, or at a time in seconds since 1970 if set."""

    sequence: int = 1
    time: float | None = None

    @property
    def config(self) -> dict[str, Any]:
        if self.time is None:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": max(self.sequence, 1)}
        return {"deliver_policy": "by_start_time", "opt_start_time": rfc3339(self.time, "microseconds")}


class StreamReader:
    """Messages of one stream from a Start on, in batches.

    `position` is the last sequence read, `pending` the number of unread messages reported by the server.

    """

    def __init__(self, connection: Connection, stream: str, start: Start) -> None:
        self._connection = connection
        self._stream = stream
        self._start = start
        self._name = f"{OWN_READER}{secrets.token_hex(8)}"
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._next = ""
        self._arrived: list[Msg] = []
        self._something = asyncio.Event()
        self._batch = BATCH
        self._wanted = 0
        self._delivered = 0
        self._failure: Lost | None = None
        self.position = 0
        self.pending = 0

    async def open(self) -> None:
        """Create the consumer; sets `pending`. Raises StreamGone or SourceError."""
        await self.close()
        config: dict[str, Any] = {
            "name": self._name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(_VANISHES_AFTER * _NANO),
            **self._start.config,
        }
        verb = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        created = await self._connection.ask(verb, CreatedConsumer, stream_name=self._stream, config=config)
        if created.error is not None:  # 404
            raise StreamGone(self._stream)
        # A larger request is refused (409 Exceeded MaxRequestBatch).
        self._batch = min(BATCH, created.config.max_batch) if created.config.max_batch > 0 else BATCH
        self.pending = created.num_pending
        self.position = created.delivered.stream_seq
        self._arrived, self._failure, self._delivered, self._wanted = [], None, 0, 0
        client = self._connection.client
        self._inbox = client.new_inbox()
        self._next = f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{created.name}"
        with self._connection.losing():
            self._subscription = await client.subscribe(self._inbox, cb=self._take)

    async def batches(self) -> AsyncIterator[list[Message]]:
        """Batches of received messages, forever. Raises Lost or SourceError."""
        while True:
            if self._wanted <= self._batch // 2:
                await self._pull()
            try:
                async with asyncio.timeout(_SILENCE):
                    await self._something.wait()
            except TimeoutError:
                raise Lost("silence") from None
            self._something.clear()
            arrived, self._arrived = self._arrived, []
            if messages := self._in_order(arrived):
                self.position = messages[-1].sequence
                yield messages
            if self._failure is not None:
                raise self._failure

    async def _pull(self) -> None:
        request = {
            "batch": self._batch,
            "max_bytes": _BYTES,
            "expires": int(_EXPIRES * _NANO),
            "idle_heartbeat": int(_HEARTBEAT * _NANO),
        }
        self._wanted += self._batch
        with self._connection.losing():
            await self._connection.client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)

    async def _take(self, message: Msg) -> None:
        # Minimal work per message; parsing is done per batch.
        if message.reply:
            self._arrived.append(message)
        else:
            self._status(message.headers or {})
        self._something.set()

    def _in_order(self, arrived: Sequence[Msg]) -> list[Message]:
        """The messages before the first missing delivery."""
        self._wanted -= len(arrived)
        stream, delivered = self._stream, self._delivered
        found = []
        for message in arrived:
            # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer's sequence>.<time>.<pending>, after two more
            # tokens (domain, account) and before one (random) where the server has domains.
            reply = message.reply
            _, sequence, own, stored, pending = reply.rsplit(".", 4)
            if reply.count(".") > _DOTS:
                _, sequence, own, stored, pending, _ = reply.rsplit(".", 5)
            delivered += 1
            if int(own) != delivered:
                self._failure = Lost("gap")
                break
            found.append(Message(message.subject, message.data, int(stored) / _NANO, stream, int(sequence)))
        if found:
            self.pending = int(pending)
        self._delivered = delivered
        return found

    def _status(self, headers: Mapping[str, str]) -> None:
        """Handles a status message: heartbeat, end of a request, or missing consumer."""
        status = headers.get("Status", "")
        if status == "100":  # idle heartbeat, with the number of delivered messages
            last = headers.get("Nats-Last-Consumer", "")
            if last.isdecimal() and int(last) > self._delivered + len(self._arrived):
                self._failure = Lost("gap")
            return
        over = status == "409" and headers.get("Description", "").lower() in _REQUEST_IS_OVER
        if status == "408" or over:
            left = headers.get("Nats-Pending-Messages", "")
            self._wanted -= int(left) if left.isdecimal() else self._wanted
        else:
            self._failure = Lost("consumer")

    async def close(self) -> None:
        """Delete the consumer; if that fails, the server deletes it after the inactive threshold."""
        subscription, self._subscription = self._subscription, None
        if subscription is None or not self._connection.is_open:
            return
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()
        if not self._connection.deletes_consumers:
            return
        with contextlib.suppress(SourceError, OSError, TimeoutError):
            async with asyncio.timeout(_DELETE_SECONDS):
                await self._connection.ask(f"CONSUMER.DELETE.{self._stream}.{self._name}", Reply)
