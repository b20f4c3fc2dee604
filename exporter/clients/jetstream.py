"""JetStream API replies as typed records: bytes → records, pure. Unknown fields are ignored, absent ones are zero."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from exporter.errors import Reason, SourceError

PAGE = 256
"""Streams or consumers per page of a LIST reply; the server decides and reports it as `limit`."""


class ApiError(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class Reply(msgspec.Struct, frozen=True):
    error: ApiError | None = None


class ListReply(Reply, frozen=True):
    """One page of a list of `total`.

    `missing` names entries that exist but whose leader did not respond (a dead node, no quorum), `offline` entries that the
    server refuses to load, each with the reason. The server waits four seconds before it reports a name as missing.
    """

    total: int = 0
    limit: int = PAGE
    missing: list[str] | None = None
    offline: dict[str, str] | None = None

    @property
    def unavailable(self) -> tuple[str, ...]:
        """The entries of this page that exist and cannot be read now."""
        return (*(self.missing or ()), *(self.offline or ()))


class AccountLimits(msgspec.Struct, frozen=True):
    max_memory: int = -1
    max_storage: int = -1
    max_streams: int = -1
    max_consumers: int = -1


class ApiUse(msgspec.Struct, frozen=True):
    total: int = 0
    errors: int = 0


class Tier(msgspec.Struct, frozen=True):
    """Usage and limits of the streams with one number of replicas (R1, R3), where the account has limits per tier."""

    memory: int = 0
    storage: int = 0
    reserved_memory: int = 0
    reserved_storage: int = 0
    streams: int = 0
    consumers: int = 0
    limits: AccountLimits = AccountLimits()


class Account(Reply, frozen=True):
    """$JS.API.INFO"""

    memory: int = 0
    storage: int = 0
    reserved_memory: int = 0
    reserved_storage: int = 0
    streams: int = 0
    consumers: int = 0
    limits: AccountLimits = AccountLimits()
    api: ApiUse = ApiUse()
    tiers: dict[str, Tier] | None = None


class Replica(msgspec.Struct, frozen=True):
    """A peer of a Raft group; `lag` is in operations."""

    name: str = ""
    current: bool = False
    offline: bool = False
    lag: int = 0


class ClusterInfo(msgspec.Struct, frozen=True):
    """The servers of a stream or consumer; all fields are empty without clustering."""

    name: str = ""
    leader: str = ""
    replicas: list[Replica] | None = None


class Origin(msgspec.Struct, frozen=True):
    """The origin of a mirror or source."""

    name: str = ""


class OriginState(msgspec.Struct, frozen=True):
    """How far a mirror or source is behind its origin; `active` is nanoseconds since the last contact, -1 before one."""

    name: str = ""
    lag: int = 0
    active: int = -1
    error: ApiError | None = None


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
    cluster: ClusterInfo = ClusterInfo()
    mirror: OriginState | None = None
    sources: list[OriginState] | None = None
    ts: str = ""
    """Time of the reply."""


class StreamList(ListReply, frozen=True):
    """$JS.API.STREAM.LIST"""

    streams: list[Stream] | None = None


class StreamInfo(Reply, frozen=True):
    """$JS.API.STREAM.INFO.<stream>"""

    created: str = ""
    config: StreamConfig = StreamConfig()
    state: StreamState = StreamState()


class SequenceInfo(msgspec.Struct, frozen=True):
    """Position of a consumer: its delivery count, and the stream sequence."""

    consumer_seq: int = 0
    stream_seq: int = 0
    last_active: str = ""


class ConsumerConfig(msgspec.Struct, frozen=True):
    durable_name: str = ""
    deliver_policy: str = ""
    ack_policy: str = ""
    ack_wait: int = 0  # nanoseconds
    max_deliver: int = -1
    max_ack_pending: int = 0
    filter_subject: str = ""
    filter_subjects: list[str] | None = None
    deliver_subject: str = ""
    deliver_group: str = ""
    sample_freq: str = ""
    priority_policy: str = ""
    priority_groups: list[str] | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """The consumer's filter subjects; empty means all subjects of the stream."""
        return tuple(self.filter_subjects or ()) or ((self.filter_subject,) if self.filter_subject else ())


class Consumer(msgspec.Struct):
    """One consumer. Its configuration stays undecoded: it rarely changes, and there are thousands of consumers."""

    name: str = ""
    created: str = ""
    config: msgspec.Raw = msgspec.Raw(b"{}")
    delivered: SequenceInfo = SequenceInfo()
    ack_floor: SequenceInfo = SequenceInfo()
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0
    num_pending: int = 0
    paused: bool = False
    push_bound: bool = False
    cluster: ClusterInfo = ClusterInfo()

    @property
    def lag(self) -> int:
        """Undelivered messages plus unacked ones."""
        return self.num_pending + self.num_ack_pending


class ConsumerList(ListReply, frozen=True):
    """$JS.API.CONSUMER.LIST.<stream>"""

    consumers: list[Consumer] | None = None


class StoredMessage(msgspec.Struct, frozen=True):
    time: str = ""
    seq: int = 0


class MessageReply(Reply, frozen=True):
    """$JS.API.STREAM.MSG.GET.<stream>; the message's data stays undecoded."""

    message: StoredMessage | None = None


class CreatedConfig(msgspec.Struct, frozen=True):
    max_batch: int = 0  # 0: unlimited; the server sets its limits.max_request_batch


class CreatedConsumer(Reply, frozen=True):
    """$JS.API.CONSUMER.CREATE.<stream>.<name>"""

    name: str = ""
    config: CreatedConfig = CreatedConfig()
    num_pending: int = 0
    delivered: SequenceInfo = SequenceInfo()  # of a new consumer: the sequence before its start


R = TypeVar("R", bound=Reply)

OWN_READER = "fleet-exporter-"
"""Prefix of the exporter's own short-lived consumers, which are not part of the fleet."""

NOT_FOUND = 404
_FORBIDDEN = frozenset({401, 403})
_REQUEST_TIMEOUT = 408
_UNAVAILABLE = range(500, 600)


def decoded(data: bytes, kind: type[R], *, subject: str) -> R:
    """A reply as a record. Raises SourceError for errors except 404, and for malformed replies."""
    try:
        reply = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SourceError(Reason.MALFORMED, f"{subject}: expected a JetStream API reply, got {error}") from None
    if reply.error is not None and reply.error.code != NOT_FOUND:
        raise SourceError(
            _reason(reply.error),
            f"{subject}: JetStream returned error {reply.error.err_code} ({reply.error.code}): {reply.error.description}",
        )
    return reply


def _reason(error: ApiError) -> Reason:
    """By the HTTP-like code: 5xx is a server without JetStream, quorum or resources; other codes refuse the request."""
    if error.code in _FORBIDDEN:
        return Reason.UNAUTHORIZED
    if error.code == _REQUEST_TIMEOUT:
        return Reason.TIMEOUT
    return Reason.UNREACHABLE if error.code in _UNAVAILABLE else Reason.MALFORMED


def consumer_config(raw: msgspec.Raw) -> ConsumerConfig:
    """A consumer's configuration; defaults if malformed."""
    try:
        return msgspec.json.decode(raw, type=ConsumerConfig)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ConsumerConfig()
