"""JetStream API replies as typed records: bytes → records, pure. Unknown fields are passed over, absent ones are zero."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from exporter.errors import Reason, SourceError

PAGE = 256
"""Streams or consumers of one LIST reply; the server decides it, and says so in `limit`."""


class ApiError(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class Reply(msgspec.Struct, frozen=True):
    error: ApiError | None = None


class ListReply(Reply, frozen=True):
    """One page of a list of `total`."""

    total: int = 0
    limit: int = PAGE


class Limits(msgspec.Struct, frozen=True):
    max_memory: int = -1
    max_storage: int = -1
    max_streams: int = -1
    max_consumers: int = -1


class ApiUse(msgspec.Struct, frozen=True):
    total: int = 0
    errors: int = 0


class Account(Reply, frozen=True):
    """$JS.API.INFO"""

    memory: int = 0
    storage: int = 0
    streams: int = 0
    consumers: int = 0
    limits: Limits = Limits()
    api: ApiUse = ApiUse()


class Origin(msgspec.Struct, frozen=True):
    """A stream that another one copies."""

    name: str = ""


class StreamConfig(msgspec.Struct, frozen=True):
    name: str = ""
    subjects: list[str] | None = None
    retention: str = ""
    storage: str = ""
    discard: str = ""
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0  # nanoseconds
    max_consumers: int = -1
    num_replicas: int = 1
    mirror: Origin | None = None
    sources: list[Origin] | None = None


class StreamState(msgspec.Struct, frozen=True):
    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    first_ts: str = ""
    last_seq: int = 0
    last_ts: str = ""
    num_subjects: int = 0
    num_deleted: int = 0
    consumer_count: int = 0


class Stream(msgspec.Struct, frozen=True):
    created: str = ""
    config: StreamConfig = StreamConfig()
    state: StreamState = StreamState()


class StreamList(ListReply, frozen=True):
    """$JS.API.STREAM.LIST"""

    streams: list[Stream] | None = None


class StreamInfo(Reply, frozen=True):
    """$JS.API.STREAM.INFO.<stream>"""

    created: str = ""
    config: StreamConfig = StreamConfig()
    state: StreamState = StreamState()


class Position(msgspec.Struct, frozen=True):
    """Where a consumer is: in its own count of deliveries and in the stream."""

    consumer_seq: int = 0
    stream_seq: int = 0
    last_active: str = ""


class ConsumerConfig(msgspec.Struct, frozen=True):
    durable_name: str = ""
    ack_policy: str = ""
    ack_wait: int = 0  # nanoseconds
    max_deliver: int = -1
    max_ack_pending: int = 0
    filter_subject: str = ""
    filter_subjects: list[str] | None = None
    deliver_subject: str = ""
    deliver_group: str = ""
    sample_freq: str = ""

    @property
    def filters(self) -> tuple[str, ...]:
        """Every subject the consumer is limited to; none means all of the stream's."""
        return tuple(self.filter_subjects or ()) or ((self.filter_subject,) if self.filter_subject else ())


class Consumer(msgspec.Struct):
    """One consumer. Its configuration stays undecoded: it hardly ever changes, and there are thousands of them."""

    name: str = ""
    config: msgspec.Raw = msgspec.Raw(b"{}")
    delivered: Position = Position()
    ack_floor: Position = Position()
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0
    num_pending: int = 0

    @property
    def lag(self) -> int:
        """Messages not delivered yet and messages delivered but not acknowledged."""
        return self.num_pending + self.num_ack_pending


class ConsumerList(ListReply, frozen=True):
    """$JS.API.CONSUMER.LIST.<stream>"""

    consumers: list[Consumer] | None = None


class StoredMessage(msgspec.Struct, frozen=True):
    time: str = ""
    seq: int = 0


class MessageReply(Reply, frozen=True):
    """$JS.API.STREAM.MSG.GET.<stream>; the message's data is passed over undecoded."""

    message: StoredMessage | None = None


class CreatedConsumer(Reply, frozen=True):
    """$JS.API.CONSUMER.CREATE.<stream>.<name>"""

    name: str = ""
    num_pending: int = 0
    delivered: Position = Position()  # of a new consumer: the sequence before the one it starts at


R = TypeVar("R", bound=Reply)

OWN_READER = "fleet-exporter-"
"""How the names of the exporter's own short-lived consumers begin; they are no part of the fleet."""

NOT_FOUND = 404
_FORBIDDEN = frozenset({401, 403})


def decoded(data: bytes, kind: type[R], *, subject: str) -> R:
    """A reply as that record. Raises SourceError for an error reply or one that is not JetStream's; 404 is returned."""
    try:
        reply = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SourceError(Reason.MALFORMED, f"the reply to {subject} is not JetStream's: {error}") from None
    if reply.error is not None and reply.error.code != NOT_FOUND:
        reason = Reason.UNAUTHORIZED if reply.error.code in _FORBIDDEN else Reason.UNREACHABLE
        raise SourceError(reason, f"{subject} was refused: {reply.error.description} ({reply.error.err_code})")
    return reply


def consumer_config(raw: msgspec.Raw) -> ConsumerConfig:
    """A consumer's configuration; defaults where it has another shape than ours."""
    try:
        return msgspec.json.decode(raw, type=ConsumerConfig)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ConsumerConfig()
