"""ValKey and Redis: one pipelined round trip of INFO ALL, SLOWLOG LEN and, on ValKey 8.1 or later, COMMANDLOG LEN.

A server that refuses the log commands loses only their series. Sizes of named sets and lists join the same round trip
when asked for; key groups are counted by a bounded SCAN, also only then. Nothing is ever written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, cast

from annotated_types import Gt
from pydantic import PrivateAttr, SecretStr

from exporter.config.options import Address, Addresses, Count, Names, option
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.source import Source
from exporter.sources.valkey import info, keys
from exporter.sources.valkey.fields import parsed

if TYPE_CHECKING:
    from redis.asyncio import Redis

SLOWLOG = gauge("valkey_slowlog_length", "Entries of the slow log (SLOWLOG LEN).", "server")
LARGE_REPLIES = gauge("valkey_large_reply_log_length", "Entries of the large-reply log (COMMANDLOG LEN).", "server")

_SCAN_PAGE = 500


class Valkey(Source):
    """ValKey 7 to 9 and Redis 6 to 8."""

    kind: ClassVar[str] = "valkey"
    metrics: ClassVar[tuple[Metric, ...]] = (*info.METRICS, SLOWLOG, LARGE_REPLIES, *keys.METRICS)

    url: Annotated[Addresses, option("redis://, rediss:// or unix:// addresses, one or several.", env="REDIS_URL")] = ()
    username: Annotated[str, option("ACL user, where the address names none.")] = ""
    password: Annotated[SecretStr, option("Password, where the address holds none.", env="REDIS_PASSWORD")] = SecretStr("")
    sizes: Annotated[Names, option("Keys of sets and lists whose size is shown.")] = ()
    key_groups: Annotated[bool, option("Count keys by the first two segments of their names, with SCAN.")] = False
    key_groups_limit: Annotated[int, Gt(0), option("Most groups that are told apart; the rest is `other`.")] = 50
    scan_limit: Annotated[Count, option("Most keys that one SCAN looks at; a larger keyspace is shown incomplete.")] = 20_000

    _targets: tuple[Valkey, ...] | None = PrivateAttr(None)
    _client: Redis | None = PrivateAttr(None)
    _has_commandlog: bool = PrivateAttr(False)

    @property
    def enabled(self) -> bool:
        return bool(self.url)

    @property
    def server(self) -> str:
        return self.url[0].server if self.url else ""

    def targets(self) -> tuple[Self, ...]:
        if self._targets is None:
            self._targets = tuple(self.model_copy(update={"url": (url,)}) for url in self.url)
        return self._targets  # type: ignore[return-value]  # model_copy keeps the class

    async def collect(self) -> Iterable[Sample]:
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

    async def _read(self) -> list[Sample]:
        client = self._connected()
        asked = keys.size_commands(self.sizes)
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("INFO", "ALL")
        pipeline.execute_command("SLOWLOG LEN")
        if self._has_commandlog:
            pipeline.execute_command("COMMANDLOG", "LEN", "large-reply")
        for command, key in asked:
            pipeline.execute_command(command, key)
        replies = await pipeline.execute(raise_on_error=False)
        if isinstance(replies[0], Exception):
            raise replies[0]
        fields = parsed(_text(replies[0]))
        if "redis_version" not in fields:
            raise SourceError(Reason.MALFORMED, f"ValKey at {self.server}: its INFO names no version")
        found = list(info.samples(fields, self.server))
        if isinstance(replies[1], int):
            found.append(SLOWLOG(replies[1], server=self.server))
        if self._has_commandlog and isinstance(replies[2], int):
            found.append(LARGE_REPLIES(replies[2], server=self.server))
        found.extend(keys.collection_samples(asked, replies[len(replies) - len(asked) :], self.server))
        self._has_commandlog = _version(fields) >= (8, 1)
        if self.key_groups:
            found.extend((await self._scan(client)).samples(self.server))
        return found

    async def _scan(self, client: Redis) -> keys.KeyGroups:
        groups = keys.KeyGroups(self.key_groups_limit)
        cursor = 0
        while groups.scanned < self.scan_limit:
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

            address: Address = self.url[0]
            named: dict[str, Any] = {"username": self.username} if self.username else {}
            if password := self.password.get_secret_value():
                named["password"] = password
            self._client = Redis.from_url(
                address.get_secret_value(),
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


def _untouched(reply: Any, **_: Any) -> Any:
    return reply


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _version(fields: dict[str, str]) -> tuple[int, ...]:
    """ValKey's version; Redis, which has no COMMANDLOG, has none here."""
    parts = fields.get("valkey_version", "").split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
