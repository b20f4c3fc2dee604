"""ValKey and Redis: one pipelined round trip of INFO ALL, SLOWLOG LEN and, on ValKey 8.1 or later, COMMANDLOG LEN.

Sizes of configured keys and groups of keys are read only if configured. Each optional lookup degrades alone, and none but
these two changes the server's own statistics. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from annotated_types import Gt
from pydantic import SecretStr

from exporter.config.address import Address, ValkeyAddresses
from exporter.config.options import Count, Names, Secret, option
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.source import LOOKUP_UP, Source, SourceOptions, Target
from exporter.sources.valkey import info, keys
from exporter.sources.valkey.fields import parsed

if TYPE_CHECKING:
    from redis.asyncio import Redis

SLOWLOG = gauge("valkey_slowlog_length", "Entries in the slow log (SLOWLOG LEN).", "server")
LARGE_REPLIES = gauge("valkey_large_reply_log_length", "Entries in the large-reply log (COMMANDLOG LEN).", "server")

_SCAN_PAGE = 500


class ValkeyOptions(SourceOptions):
    """ValKey 7 to 9 and Redis 6 to 8."""

    url: Annotated[
        ValkeyAddresses,
        option("host:port, redis://, rediss:// or unix:// addresses of one or several servers.", env="REDIS_URL"),
    ] = ()
    username: Annotated[str, option("ACL user name, if the address has none.")] = ""
    password: Annotated[Secret, option("Password, if the address has none.", env="REDIS_PASSWORD")] = SecretStr("")
    collection_keys: Annotated[
        Names, option("Keys whose size and memory are exported; each costs the server one keyspace hit per collection.")
    ] = ()
    key_groups: Annotated[bool, option("Count keys by the first two segments of their names, with SCAN.")] = False
    key_groups_ttl: Annotated[
        bool, option("Also read the time to live of every counted key; each counts as a keyspace hit of the server.")
    ] = False
    key_groups_limit: Annotated[int, Gt(0), option("Maximum number of groups; the rest is `other`.")] = 50
    scan_limit: Annotated[Count, option("Maximum keys per SCAN; a larger keyspace is incomplete.")] = 20_000

    @property
    def enabled(self) -> bool:
        return bool(self.url)


@dataclass(frozen=True)
class ValkeySnapshot:
    """One server's replies."""

    server: str
    fields: dict[str, str]
    """The fields of INFO ALL by name."""
    slowlog: int | None
    """Entries; None if the command was refused."""
    large_replies: int | None
    sizes: Sequence[keys.KeySize]
    """The configured keys that exist."""
    key_groups: keys.KeyGroups | None
    lookups: Mapping[str, bool]
    """Whether each optional lookup that was attempted succeeded."""


class ValkeyServer(Target[ValkeySnapshot]):
    """One ValKey or Redis server and the connection to it."""

    kind: ClassVar[str] = "valkey"
    metrics: ClassVar[tuple[Metric, ...]] = (*info.METRICS, SLOWLOG, LARGE_REPLIES, *keys.METRICS, LOOKUP_UP)

    def __init__(self, options: ValkeyOptions, address: Address) -> None:
        self.timeout = options.timeout
        self.max_series = options.max_series
        self._options = options
        self._address = address
        self._client: Redis | None = None
        self._has_commandlog = False
        self._types: dict[str, str] = {}
        """The reply of TYPE for each configured key that was seen."""

    @property
    def server(self) -> str:
        return self._address.server

    async def collect(self) -> ValkeySnapshot:
        import redis.exceptions as errors

        try:
            return await self._read()
        except (errors.AuthenticationError, errors.NoPermissionError) as error:
            raise SourceError(Reason.UNAUTHORIZED, f"ValKey at {self.server}: {error}") from error
        except errors.TimeoutError as error:
            raise SourceError(Reason.TIMEOUT, f"ValKey at {self.server}: {error}") from error
        except errors.InvalidResponse as error:
            raise SourceError(Reason.MALFORMED, f"ValKey at {self.server} speaks another protocol: {error}") from error
        except errors.ConnectionError as error:
            raise SourceError(Reason.UNREACHABLE, f"ValKey at {self.server}: {error}") from error

    async def _read(self) -> ValkeySnapshot:
        client = self._connected()
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("INFO", "ALL")
        pipeline.execute_command("SLOWLOG LEN")
        if self._has_commandlog:
            pipeline.execute_command("COMMANDLOG", "LEN", "large-reply")
        replies = await pipeline.execute(raise_on_error=False)
        if isinstance(replies[0], Exception):
            raise replies[0]
        fields = parsed(_text(replies[0]))
        if "redis_version" not in fields:
            raise SourceError(Reason.MALFORMED, f"ValKey at {self.server}: expected redis_version in INFO, got none")
        lookups = {"slowlog": isinstance(replies[1], int)}
        large_replies = None
        if self._has_commandlog:
            large_replies = replies[2] if isinstance(replies[2], int) else None
            lookups["commandlog"] = large_replies is not None
        self._has_commandlog = _version(fields) >= (8, 1)
        sizes: list[keys.KeySize] = []
        groups: keys.KeyGroups | None = None
        if self._options.collection_keys:
            sizes, lookups["collection_keys"] = await self._sizes(client)
        if self._options.key_groups:
            groups = await self._scan(client)
            lookups["key_groups"] = groups is not None
        return ValkeySnapshot(
            server=self.server,
            fields=fields,
            slowlog=replies[1] if lookups["slowlog"] else None,
            large_replies=large_replies,
            sizes=sizes,
            key_groups=groups,
            lookups=lookups,
        )

    def samples(self, snapshot: ValkeySnapshot) -> Iterable[Sample]:
        yield from info.samples(snapshot.fields, self.server)
        if snapshot.slowlog is not None:
            yield SLOWLOG(snapshot.slowlog, server=self.server)
        if snapshot.large_replies is not None:
            yield LARGE_REPLIES(snapshot.large_replies, server=self.server)
        for size in snapshot.sizes:
            yield from size.samples(self.server)
        if snapshot.key_groups is not None:
            yield from snapshot.key_groups.samples(self.server)
        for lookup, succeeded in snapshot.lookups.items():
            yield LOOKUP_UP(succeeded, source=self.kind, server=self.server, lookup=lookup)

    async def _sizes(self, client: Redis) -> tuple[list[keys.KeySize], bool]:
        """The configured keys that exist, and whether every command was permitted.

        MEMORY USAGE finds out whether a key exists without counting as a hit or miss; TYPE is then asked once per key.
        """
        wanted = self._options.collection_keys
        memory = await _pipelined(client, [("MEMORY USAGE", key) for key in wanted])
        known = dict(zip(wanted, memory, strict=True))
        present = [key for key in wanted if known[key] is not None]
        new = [key for key in present if key not in self._types]
        types = await _pipelined(client, [("TYPE", key) for key in new])
        self._types |= {key: _text(reply) for key, reply in zip(new, types, strict=True) if _succeeded(reply)}
        sized = [key for key in present if self._types.get(key) in keys.SIZE_COMMANDS]
        sizes = await _pipelined(client, [(keys.SIZE_COMMANDS[self._types[key]], key) for key in sized])
        by_key = dict(zip(sized, sizes, strict=True))
        for key in wanted:
            if key not in present or not isinstance(by_key.get(key), int):
                self._types.pop(key, None)  # deleted, or of another type now: its type is asked again
        found = [
            keys.KeySize(key, _number(by_key.get(key)), _number(known[key]))
            for key in present
            if _number(by_key.get(key)) is not None or _number(known[key]) is not None
        ]
        return found, all(_succeeded(reply) for reply in (*memory, *types, *sizes))

    async def _scan(self, client: Redis) -> keys.KeyGroups | None:
        """Every key by group, up to the limit; None if the server refuses SCAN or, if configured, PTTL."""
        import redis.exceptions as errors

        with_ttl = self._options.key_groups_ttl
        groups = keys.KeyGroups(self._options.key_groups_limit, with_ttl)
        cursor = 0
        while groups.scanned < self._options.scan_limit:
            try:
                cursor, names = await client.scan(cursor, count=_SCAN_PAGE)
            except errors.ResponseError:  # not permitted, or not a command of this server, such as a Sentinel
                return None
            ttls = await _pipelined(client, [("PTTL", name) for name in names]) if with_ttl else []
            if any(isinstance(reply, errors.ResponseError) for reply in ttls):
                return None
            groups.add(names, ttls)
            if cursor == 0:
                groups.complete = True
                break
        return groups

    def _connected(self) -> Redis:
        if self._client is None:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            options = self._options
            named: dict[str, Any] = {"username": options.username} if options.username else {}
            if password := options.password.get_secret_value():
                named["password"] = password
            self._client = Redis.from_url(
                self._address.get_secret_value(),
                client_name="fleet-exporter",
                single_connection_client=True,
                protocol=2,
                socket_connect_timeout=self.timeout,
                retry=Retry(NoBackoff(), 0),  # the next scrape is the retry
                **named,
            )
            # The library's INFO parser guesses types and goes by position; ours goes by name.
            self._client.response_callbacks["INFO"] = cast(Any, _untouched)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class Valkey(Source):
    """Every configured server, each a target of its own."""

    kind: ClassVar[str] = ValkeyServer.kind
    metrics: ClassVar[tuple[Metric, ...]] = ValkeyServer.metrics
    options_type: ClassVar[type[SourceOptions]] = ValkeyOptions

    def __init__(self, options: ValkeyOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._targets = tuple(ValkeyServer(options, address) for address in options.url)

    def targets(self) -> Sequence[ValkeyServer]:
        return self._targets


async def _pipelined(client: Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The replies, refusals among them as exceptions; no round trip without commands."""
    if not commands:
        return []
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return await pipeline.execute(raise_on_error=False)


def _succeeded(reply: Any) -> bool:
    return not isinstance(reply, Exception)


def _number(reply: Any) -> int | None:
    return reply if isinstance(reply, int) else None


def _untouched(reply: Any, **_: Any) -> Any:
    return reply


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _version(fields: dict[str, str]) -> tuple[int, ...]:
    """ValKey's version; Redis, which has no COMMANDLOG, has none here."""
    parts = fields.get("valkey_version", "").split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
