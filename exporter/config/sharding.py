"""Assigns objects to one of several exporters: `--shard i/n`, counted from 0. Pure.

The object's identity is hashed with BLAKE2b (the same in every process, release and machine), and jump consistent hashing
(Lamping and Veach, 2014) maps the hash to a shard: shards are even, and adding one moves only the objects that it takes.
Objects that are not sharded belong to the first shard.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, WithJsonSchema

from exporter.config.options import option

_PATTERN = r"[0-9]{1,5}/[1-9][0-9]{0,4}"

_MASK = 2**64 - 1


def shard_of(shards: int, *identity: str) -> int:
    """The shard of an object, from 0; its identity is its names, from the widest scope to the narrowest."""
    key = int.from_bytes(hashlib.blake2b("\0".join(identity).encode(), digest_size=8).digest(), "big")
    found, following = 0, 0
    while following < shards:
        found = following
        key = (key * 2862933555777941757 + 1) & _MASK
        following = int((found + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return found


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` exporters that divide the objects of the same backends."""

    number: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: Any) -> Self:
        """Parses `i/n`. Raises ValueError with a sentence."""
        if not isinstance(text, str) or not re.fullmatch(_PATTERN, text):
            raise ValueError(f"expected i/n with 0 ≤ i < n, such as 0/2 and 1/2 for two exporters, got {text!r}")
        number, count = (int(part) for part in text.split("/"))
        if number >= count:
            raise ValueError(f"expected i/n with 0 ≤ i < n, got {text!r}; shards are numbered from 0")
        return cls(number, count)

    @property
    def is_first(self) -> bool:
        """Whether it also exports objects that are not sharded."""
        return self.number == 0

    def owns(self, *identity: str) -> bool:
        """Whether the object belongs to this shard; the identity is as for `shard_of`."""
        return self.count == 1 or shard_of(self.count, *identity) == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard()

ShardText = Annotated[
    str,
    BeforeValidator(lambda text: str(Shard.parse(text))),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$"}),
    option(
        "Shard i/n of this exporter, with 0 ≤ i < n: RayJobs, RayClusters, and streams with their "
        "consumers are divided by a stable hash; shard 0/n also collects every other source."
    ),
]
"""The option; its text is parsed by Shard.parse."""
