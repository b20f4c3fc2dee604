"""ValKey and Redis: one pipelined round trip of INFO ALL, SLOWLOG LEN and, on ValKey 8.1 or later, COMMANDLOG LEN.

A server that refuses the log commands loses only their series. Sizes of named sets and lists join the same round trip if
configured; key groups are counted by a bounded SCAN, also only if configured. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from annotated_types import Gt
from pydantic import SecretStr

from exporter.config.address import Address, ValkeyAddresses
from exporter.config.options import Count, Names, Secret, option
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.source import Source, SourceOptions, Target
from exporter.sources.valkey import info, keys
from exporter.sources.valkey.fields import parsed

if TYPE_CHECKING:
    from redis.asyncio import Redis

SLOWLOG = gauge("valkey_slowlog_length", "Entries of the slow log (SLOWLOG LEN).", "server")
LARGE_REPLIES = gauge("valkey_large_reply_log_length", "Entries of the large-reply log (COMMANDLOG LEN).", "server")

_SCAN_PAGE = 500


class ValkeyOptions(SourceOptions):
    """ValKey 7 to 9 and Redis 6 to 8."""

    url: Annotated[
        ValkeyAddresses,
        option("host:port, redis://, rediss:// or unix:// addresses of one or several servers.", env="REDIS_URL"),
    ] = ()
    username: Annotated[str, option("ACL user, where the address names none.")] = ""
    password: Annotated[Secret, option("Password, where the address holds none.", env="REDIS_PASSWORD")] = SecretStr("")
    sizes: Annotated[Names, option("Keys of sets and lists whose size is shown.")] = ()
    key_groups: Annotated[bool, option("Count keys by the first two segments of their names, with SCAN.")] = False
    key_groups_limit: Annotated[int, Gt(0), option("Maximum number of groups; the rest is `other`.")] = 50
    scan_limit: Annotated[Count, option("Most keys that one SCAN looks at; a larger keyspace is shown incomplete.")] = 20_000

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
    sizes: Sequence[tuple[tuple[str, str], Any]]
    """(command, key) and its reply, for every named key."""
    key_groups: keys.KeyGroups | None


class ValkeyServer(Target[ValkeySnapshot]):
    """One ValKey or Redis server and the connection to it."""

    kind: ClassVar[str] = "valkey"
    metrics: ClassVar[tuple[Metric, ...]] = (*info.METRICS, SLOWLOG, LARGE_REPLIES, *keys.METRICS)

    def __init__(self, options: ValkeyOptions, address: Address) -> None:
        self.timeout = options.timeout
        self.max_series = options.max_series
        self._options = options
        self._address = address
        self._client: Redis | None = None
        self._has_commandlog = False

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
        sizes = keys.size_commands(self._options.sizes)
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("INFO", "ALL")
        pipeline.execute_command("SLOWLOG LEN")
        if self._has_commandlog:
            pipeline.execute_command("COMMANDLOG", "LEN", "large-reply")
        for command, key in sizes:
            pipeline.execute_command(command, key)
        replies = await pipeline.execute(raise_on_error=False)
        if isinstance(replies[0], Exception):
            raise replies[0]
        fields = parsed(_text(replies[0]))
        if "redis_version" not in fields:
            raise SourceError(Reason.MALFORMED, f"ValKey at {self.server}: its INFO names no version")
        large_replies = replies[2] if self._has_commandlog else None
        self._has_commandlog = _version(fields) >= (8, 1)
        return ValkeySnapshot(
            server=self.server,
            fields=fields,
            slowlog=replies[1] if isinstance(replies[1], int) else None,
            large_replies=large_replies if isinstance(large_replies, int) else None,
            sizes=list(zip(sizes, replies[len(replies) - len(sizes) :], strict=True)),
            key_groups=await self._scan(client) if self._options.key_groups else None,
        )

    def samples(self, snapshot: ValkeySnapshot) -> Iterable[Sample]:
        yield from info.samples(snapshot.fields, self.server)
        if snapshot.slowlog is not None:
            yield SLOWLOG(snapshot.slowlog, server=self.server)
        if snapshot.large_replies is not None:
            yield LARGE_REPLIES(snapshot.large_replies, server=self.server)
        commands = [command for command, _ in snapshot.sizes]
        yield from keys.collection_samples(commands, [reply for _, reply in snapshot.sizes], self.server)
        if snapshot.key_groups is not None:
            yield from snapshot.key_groups.samples(self.server)

    async def _scan(self, client: Redis) -> keys.KeyGroups:
        groups = keys.KeyGroups(self._options.key_groups_limit)
        cursor = 0
        while groups.scanned < self._options.scan_limit:
            cursor, names = await client.scan(cursor, count=_SCAN_PAGE)
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.pttl(name)
            groups.add(names, await pipeline.execute(raise_on_error=False) if names else [])
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


def _untouched(reply: Any, **_: Any) -> Any:
    return reply


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _version(fields: dict[str, str]) -> tuple[int, ...]:
    """ValKey's version; Redis, which has no COMMANDLOG, has none here."""
    parts = fields.get("valkey_version", "").split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
