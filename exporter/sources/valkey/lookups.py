"""The opt-in lookups of keys as commands: pipelined, bounded, and refused without harm to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from exporter.sources.valkey import keys, modes

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SCAN_PAGE = 500


class KeyLookups:
    """The lookups of one server; remembers the types of the configured keys."""

    def __init__(self, wanted: Sequence[str], *, group_limit: int, with_ttl: bool, scan_limit: int) -> None:
        self._wanted = wanted
        self._group_limit = group_limit
        self._with_ttl = with_ttl
        self._scan_limit = scan_limit
        self._types: dict[str, str] = {}
        """The reply of TYPE for each configured key that was seen."""

    async def sizes(self, client: Redis) -> tuple[list[keys.KeySize], bool]:
        """The configured keys that exist, and whether every command was permitted.

        MEMORY USAGE checks whether a key exists without counting as a hit or miss; TYPE is sent once per key.

        """
        wanted = self._wanted
        memory = await pipelined(client, [("MEMORY USAGE", key) for key in wanted])
        known = dict(zip(wanted, memory, strict=True))
        present = [key for key in wanted if known[key] is not None]
        new = [key for key in present if key not in self._types]
        types = await pipelined(client, [("TYPE", key) for key in new])
        self._types |= {key: text(reply) for key, reply in zip(new, types, strict=True) if succeeded(reply)}
        sized = [key for key in present if self._types.get(key) in keys.SIZE_COMMANDS]
        sizes = await pipelined(client, [(keys.SIZE_COMMANDS[self._types[key]], key) for key in sized])
        by_key = dict(zip(sized, sizes, strict=True))
        streams = [key for key in sized if self._types[key] == keys.STREAM and succeeded(by_key[key])]
        groups = await pipelined(client, [("XINFO", "GROUPS", key) for key in streams])
        by_stream = {
            key: [modes.named(row) for row in reply if isinstance(row, list)]
            for key, reply in zip(streams, groups, strict=True)
            if isinstance(reply, list)
        }
        for key in wanted:
            if key not in present or not isinstance(by_key.get(key), int):
                self._types.pop(key, None)  # deleted, or its type has changed: query the type again
        found = [
            keys.KeySize(key, number(by_key.get(key)), number(known[key]), by_stream.get(key, ()))
            for key in present
            if number(by_key.get(key)) is not None or number(known[key]) is not None
        ]
        return found, all(succeeded(reply) for reply in (*memory, *types, *sizes, *groups))

    async def scan(self, client: Redis) -> keys.KeyGroups | None:
        """Every key by group, up to the limit; None if the server refuses SCAN or, if configured, PTTL."""
        import redis.exceptions as errors

        groups = keys.KeyGroups(self._group_limit, self._with_ttl)
        cursor = 0
        while groups.scanned < self._scan_limit:
            try:
                cursor, names = await client.scan(cursor, count=_SCAN_PAGE)
            except errors.ResponseError:  # not permitted, or not a command of this server, such as a Sentinel
                return None
            ttls = await pipelined(client, [("PTTL", name) for name in names]) if self._with_ttl else []
            if any(isinstance(reply, errors.ResponseError) for reply in ttls):
                return None
            groups.add(names, ttls)
            if cursor == 0:
                groups.complete = True
                break
        return groups


async def pipelined(client: Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The replies, refusals among them as exceptions; no round trip without commands."""
    if not commands:
        return []
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return await pipeline.execute(raise_on_error=False)


def succeeded(reply: Any) -> bool:
    return not isinstance(reply, Exception)


def number(reply: Any) -> int | None:
    return reply if isinstance(reply, int) else None


def text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
