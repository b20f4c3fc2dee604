"""Which streams are followed, how each is read so that it does no harm, and how well that goes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.clients.jetstream import Stream
from exporter.errors import SourceError

_BUCKETS = ("KV_", "OBJ_")


class How(StrEnum):
    """CONSUMER in order from where reading stopped; SUBSCRIPTION as it comes, unnumbered; REFUSED by the account.

    OFFLINE exists, and no server that has it answers.
    """

    CONSUMER = "consumer"
    SUBSCRIPTION = "subscription"
    REFUSED = "refused"
    OFFLINE = "offline"


@dataclass(slots=True)
class Followed:
    """One stream that is read, and what went wrong with it so far.

    `since`, in seconds since 1970, is where reading starts if no message was read yet; None is the first message.
    """

    name: str
    how: How
    created: str
    subjects: tuple[str, ...]
    position: int = 0
    since: float | None = None
    pending: int = 0
    skipped: int = 0
    repeated: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    refusal: SourceError | None = None

    def follows(self, stream: Stream) -> bool:
        """Whether it is still that stream, read in that way."""
        return self.created == stream.created and self.subjects == tuple(stream.config.subjects or ())


def how_to_read(stream: Stream) -> How:
    return How.CONSUMER if stream.config.retention in ("limits", "") else How.SUBSCRIPTION


def wanted(streams: Sequence[Stream], names: Sequence[str], offline: Collection[str] = ()) -> list[Stream]:
    """The streams with events: those named, or all but key-value and object buckets and copies of others that exist.

    A copy of a stream that is `offline` is still a copy.
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
