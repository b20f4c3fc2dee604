"""Which streams are read, how, and their state."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.clients.jetstream import Stream
from exporter.errors import SourceError

log = logging.getLogger(__name__)

_BUCKETS = ("KV_", "OBJ_")


class DeliveryMode(StrEnum):
    """CONSUMER: in order from the last position. SUBSCRIPTION: plain, without sequences. REFUSED: NATS does not
    let the exporter read it: no permission, a limit, or no response.

    OFFLINE: the stream exists, but its servers do not respond.

    """

    CONSUMER = "consumer"
    SUBSCRIPTION = "subscription"
    REFUSED = "refused"
    OFFLINE = "offline"


@dataclass(slots=True)
class StreamCursor:
    """Position and state of one stream.

    `since`, in seconds since 1970, is the start if no message was read yet; None is the first message.

    """

    name: str
    mode: DeliveryMode
    created: str
    subjects: tuple[str, ...]
    position: int = 0
    since: float | None = None
    pending: int = 0
    skipped: int = 0
    repeated: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    refusal: SourceError | None = None

    def refuse(self, error: SourceError) -> None:
        """Keep why it cannot be read, and log it if the reason is a new one. An offline stream stays offline."""
        if self.mode is not DeliveryMode.OFFLINE:
            self.mode = DeliveryMode.REFUSED
        if self.refusal is None or self.refusal.reason is not error.reason:
            self.refusal = error
            log.warning("stream cannot be read", extra={"stream": self.name, "error": str(error)})

    def follows(self, stream: Stream) -> bool:
        """Whether it is still the same stream, read in the same mode."""
        return self.created == stream.created and self.subjects == tuple(stream.config.subjects or ())


def delivery_mode(stream: Stream) -> DeliveryMode:
    return DeliveryMode.CONSUMER if stream.config.retention in ("limits", "") else DeliveryMode.SUBSCRIPTION


def wanted_offline(offline: Iterable[str], names: Sequence[str]) -> list[str]:
    """The offline streams that may have events, by the same rules as `wanted`, as far as their names say."""
    return [name for name in offline if (name in names if names else not name.startswith(_BUCKETS))]


def wanted(streams: Sequence[Stream], names: Sequence[str], offline: Collection[str] = ()) -> list[Stream]:
    """Streams with events: the named ones, or all except key-value and object buckets and copies of existing streams.

    A copy of an `offline` stream is still a copy.

    """
    existing = {stream.config.name for stream in streams}.union(offline)
    found = []
    for stream in streams:
        config = stream.config
        origins = [*([config.mirror] if config.mirror else []), *(config.sources or ())]
        if names:
            if config.name in names:
                found.append(stream)
        elif not config.name.startswith(_BUCKETS) and not any(origin.name in existing for origin in origins):
            found.append(stream)
    return found
