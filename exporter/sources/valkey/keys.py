"""Opt-in lookups of keys: sizes of configured keys, and groups of keys counted by a bounded SCAN. Never `KEYS`."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from exporter.metrics.metric import OTHER, Metric, Sample, Unit, gauge, labels
from exporter.sources.valkey.fields import value_of

COLLECTION_SIZE = gauge(
    "valkey_collection_size",
    "Members of a configured key, or bytes of a string (LLEN, SCARD, ZCARD, HLEN, XLEN, STRLEN); no data if the key does "
    "not exist.",
    "server",
    "key",
)
KEY_MEMORY = gauge(
    "valkey_key_memory_bytes", "Memory used by a configured key (MEMORY USAGE).", "server", "key", unit=Unit.BYTES
)
GROUP_KEYS = gauge(
    "valkey_key_group_keys",
    "Keys seen in a group by SCAN (first two segments of the name).",
    "server",
    "group",
)
GROUP_EXPIRING = gauge(
    "valkey_key_group_expiring_ratio", "Share of a group's keys that have a time to live (PTTL).", "server", "group",
    unit=Unit.RATIO,
)  # fmt: skip
GROUP_TTL = gauge(
    "valkey_key_group_mean_ttl_seconds", "Mean time to live of a group's keys that have one (PTTL).", "server", "group",
    unit=Unit.SECONDS,
)  # fmt: skip
SCANNED = gauge(
    "valkey_key_groups_scanned_keys", "Keys returned by SCAN until it finished or reached valkey.scan-limit.", "server"
)
COMPLETE = gauge("valkey_key_groups_complete", "Whether SCAN returned every key within valkey.scan-limit.", "server")

_STREAM_GROUP: Final = ("server", "key", "group")
GROUP_LAG = gauge(
    "valkey_stream_group_lag", "Entries of a configured stream that a consumer group has not read (XINFO GROUPS lag).",
    *_STREAM_GROUP,
)  # fmt: skip
GROUP_PENDING = gauge(
    "valkey_stream_group_pending", "Entries read by a consumer group and not acked (XINFO GROUPS pending).", *_STREAM_GROUP
)
GROUP_CONSUMERS = gauge(
    "valkey_stream_group_consumers", "Consumers of a consumer group (XINFO GROUPS consumers).", *_STREAM_GROUP
)

METRICS: Final[tuple[Metric, ...]] = (
    COLLECTION_SIZE,
    KEY_MEMORY,
    GROUP_LAG,
    GROUP_PENDING,
    GROUP_CONSUMERS,
    GROUP_KEYS,
    GROUP_EXPIRING,
    GROUP_TTL,
    SCANNED,
    COMPLETE,
)

SIZE_COMMANDS: Final = {
    "string": "STRLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN",
}  # fmt: skip
"""The command that gives a key's size, by the reply of TYPE."""

STREAM: Final = "stream"
_MAX_STREAM_GROUPS: Final = 100


@dataclass(frozen=True, slots=True)
class KeySize:
    """One configured key: members (bytes of a string), and bytes of memory if MEMORY USAGE is permitted.

    `groups` are the fields of XINFO GROUPS of each consumer group of a stream.
    """

    key: str
    size: int | None
    memory: int | None
    groups: Sequence[Mapping[str, str]] = ()

    def samples(self, server: str) -> Iterable[Sample]:
        if self.size is not None:
            yield COLLECTION_SIZE(self.size, server=server, key=self.key)
        if self.memory is not None:
            yield KEY_MEMORY(self.memory, server=server, key=self.key)
        for group in self.groups[:_MAX_STREAM_GROUPS]:
            who = labels(server=server, key=self.key, group=group.get("name", ""))
            for name, metric in (("lag", GROUP_LAG), ("pending", GROUP_PENDING), ("consumers", GROUP_CONSUMERS)):
                if (value := value_of(group.get(name))) is not None:
                    yield metric.at(who, value)


def group_of(key: bytes | str) -> str:
    """A key's group: its first two segments, or the first where there are only two; the last is taken for an id."""
    name = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
    segments = name.split(":")
    if len(segments) == 1:
        return OTHER
    return ":".join(segments[:2]) if len(segments) > 2 else segments[0]


@dataclass(slots=True)
class KeyGroup:
    """The keys of one group, those with a time to live, and the sum of these times in milliseconds."""

    keys: int = 0
    expiring: int = 0
    ttl_ms: int = 0

    @property
    def expiring_ratio(self) -> float:
        return self.expiring / self.keys

    @property
    def mean_ttl_seconds(self) -> float | None:
        """None if no key of the group expires."""
        return self.ttl_ms / self.expiring / 1000 if self.expiring else None


@dataclass(slots=True)
class KeyGroups:
    """Counts by group, at most `limit` groups and one for the rest."""

    limit: int
    with_ttl: bool = False
    """Whether times to live were read."""
    scanned: int = 0
    complete: bool = False
    groups: dict[str, KeyGroup] = field(default_factory=lambda: defaultdict(KeyGroup))

    def add(self, keys: Sequence[Any], ttls_ms: Sequence[Any] = ()) -> None:
        """Keys, with their PTTL replies if those were read: milliseconds, -1 without a time to live, -2 if it is gone."""
        times = ttls_ms if self.with_ttl else itertools.repeat(None)
        for key, ttl in zip(keys, times, strict=False):
            if self.with_ttl and (not isinstance(ttl, int) or ttl == -2):
                continue
            self.scanned += 1
            name = group_of(key)
            group = self.groups[name if name in self.groups or len(self.groups) < self.limit else OTHER]
            group.keys += 1
            if isinstance(ttl, int) and ttl >= 0:
                group.expiring += 1
                group.ttl_ms += ttl

    def samples(self, server: str) -> Iterable[Sample]:
        yield SCANNED(self.scanned, server=server)
        yield COMPLETE(self.complete, server=server)
        for name, group in self.groups.items():
            yield GROUP_KEYS(group.keys, server=server, group=name)
            if not self.with_ttl:
                continue
            yield GROUP_EXPIRING(group.expiring_ratio, server=server, group=name)
            if group.mean_ttl_seconds is not None:
                yield GROUP_TTL(group.mean_ttl_seconds, server=server, group=name)
