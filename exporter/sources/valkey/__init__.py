"""ValKey and Redis: one pipelined round trip of INFO ALL, SLOWLOG LEN and, on ValKey 8.1 or later, COMMANDLOG LEN.

Cluster nodes also receive CLUSTER INFO, and Sentinels SENTINEL MASTERS instead of the logs.

Sizes of configured keys and key groups are read only if configured. Optional lookups fail independently, and only these
two change the server's statistics. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from exporter.config.address import Address
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError, network_cause
from exporter.metrics.metric import Metric, Sample, gauge
from exporter.source import LOOKUP_UP, Source, Target
from exporter.source_options.valkey import ValkeyOptions as ValkeyOptions
from exporter.sources.valkey import info, keys, modes
from exporter.sources.valkey.fields import parsed
from exporter.sources.valkey.lookups import KeyLookups, number, pipelined, succeeded, text

if TYPE_CHECKING:
    from redis.asyncio import Redis

SLOWLOG = gauge("valkey_slowlog_length", "Entries in the slow log (SLOWLOG LEN).", "server")
LARGE_REPLIES = gauge("valkey_large_reply_log_length", "Entries in the large-reply log (COMMANDLOG LEN).", "server")


@dataclass(frozen=True)
class ValkeySnapshot:
    """One server's replies."""

    server: str
    fields: dict[str, str]
    """The fields of INFO ALL by name."""
    slowlog: int | None
    """Entries; None if the command was refused."""
    large_replies: int | None
    cluster: Mapping[str, str] | None
    """The fields of CLUSTER INFO; None if the server is not a cluster node."""
    masters: Sequence[Mapping[str, str]]
    """The fields of each master that a Sentinel watches."""
    sizes: Sequence[keys.KeySize]
    """The configured keys that exist."""
    key_groups: keys.KeyGroups | None
    lookups: Mapping[str, bool]
    """Whether each optional lookup that was attempted succeeded."""


class ValkeyServer(Target[ValkeySnapshot]):
    """One ValKey or Redis server and the connection to it."""

    kind: ClassVar[str] = "valkey"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *info.METRICS, SLOWLOG, LARGE_REPLIES, *modes.METRICS, *keys.METRICS, LOOKUP_UP
    )  # fmt: skip

    def __init__(self, options: ValkeyOptions, address: Address) -> None:
        self.timeout = options.timeout
        self.max_series = options.max_series
        self._options = options
        self._address = address
        self._client: Redis | None = None
        self._mode = ""
        """`standalone`, `cluster` or `sentinel` once it is known."""
        self._has_commandlog = False
        self._keys = KeyLookups(
            options.collection_keys,
            group_limit=options.key_groups_limit,
            with_ttl=options.key_groups_ttl,
            scan_limit=options.scan_limit,
        )

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
            raise SourceError(Reason.MALFORMED, f"ValKey at {self.server}: {error}") from error
        except errors.ResponseError as error:
            raise SourceError(_refusal(error), f"ValKey at {self.server}: {str(error).partition('. ')[0]}") from error
        except errors.ConnectionError as error:
            raise SourceError(Reason.UNREACHABLE, f"ValKey at {self.server}: {network_cause(error)}") from error

    async def _read(self) -> ValkeySnapshot:
        client = self._connected()
        optional = self._optional_commands()
        reply, *others = await pipelined(client, [("INFO", "ALL"), *optional.values()])
        if isinstance(reply, Exception):
            raise reply
        fields = parsed(text(reply))
        if "redis_version" not in fields:
            raise SourceError(Reason.MALFORMED, f"ValKey at {self.server}: expected redis_version in INFO, got none")
        replies = {name: other for name, other in zip(optional, others, strict=True) if succeeded(other)}
        lookups = {name: name in replies for name in optional}
        self._has_commandlog = _version(fields) >= (8, 1)
        self._mode = fields.get("server_mode", fields.get("redis_mode", ""))
        sizes: list[keys.KeySize] = []
        groups: keys.KeyGroups | None = None
        if self._options.collection_keys:
            sizes, lookups["collection_keys"] = await self._keys.sizes(client)
        if self._options.key_groups:
            groups = await self._keys.scan(client)
            lookups["key_groups"] = groups is not None
        return ValkeySnapshot(
            server=self.server,
            fields=fields,
            slowlog=number(replies.get("slowlog")),
            large_replies=number(replies.get("commandlog")),
            cluster=parsed(text(replies["cluster"])) if "cluster" in replies else None,
            masters=modes.master_fields(replies.get("sentinel")),
            sizes=sizes,
            key_groups=groups,
            lookups=lookups,
        )

    def _optional_commands(self) -> dict[str, tuple[str, ...]]:
        """The commands after INFO by the name of their lookup, as far as the server is known to have them."""
        if self._mode == "sentinel":
            return {"sentinel": ("SENTINEL", "MASTERS")}
        commands: dict[str, tuple[str, ...]] = {"slowlog": ("SLOWLOG", "LEN")}
        if self._has_commandlog:
            commands["commandlog"] = ("COMMANDLOG", "LEN", "large-reply")
        if self._mode == "cluster":
            commands["cluster"] = ("CLUSTER", "INFO")
        return commands

    def samples(self, snapshot: ValkeySnapshot) -> Iterable[Sample]:
        yield from info.samples(snapshot.fields, self.server)
        if snapshot.slowlog is not None:
            yield SLOWLOG(snapshot.slowlog, server=self.server)
        if snapshot.large_replies is not None:
            yield LARGE_REPLIES(snapshot.large_replies, server=self.server)
        if snapshot.cluster is not None:
            yield from modes.cluster_samples(snapshot.cluster, self.server)
        yield from modes.master_samples(snapshot.masters, self.server)
        for size in snapshot.sizes:
            yield from size.samples(self.server)
        if snapshot.key_groups is not None:
            yield from snapshot.key_groups.samples(self.server)
        for lookup, is_up in snapshot.lookups.items():
            yield LOOKUP_UP(is_up, source=self.kind, server=self.server, lookup=lookup)

    def _connected(self) -> Redis:
        if self._client is None:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            from exporter.sources.valkey.replies import BoundedParser

            options = self._options
            named: dict[str, Any] = {"username": options.username} if options.username else {}
            if password := options.password.get_secret_value():
                named["password"] = password
            url = self._address.get_secret_value()
            if url.startswith("rediss://"):
                named |= options.tls_files
            self._client = Redis.from_url(
                url,
                client_name="fleet-exporter",
                single_connection_client=True,
                protocol=2,
                parser_class=BoundedParser,
                socket_connect_timeout=self.timeout,
                retry=Retry(NoBackoff(), 0),  # the next scrape is the retry
                **named,
            )
            # The library's INFO parser guesses types and relies on positions; this one uses field names.
            self._client.response_callbacks["INFO"] = cast(Any, _untouched)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class Valkey(Source):
    """Every configured server, each a separate target."""

    kind: ClassVar[str] = ValkeyServer.kind
    metrics: ClassVar[tuple[Metric, ...]] = ValkeyServer.metrics

    def __init__(self, options: ValkeyOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._targets = tuple(ValkeyServer(options, address) for address in options.url)

    def targets(self) -> Sequence[ValkeyServer]:
        return self._targets


def _refusal(error: Exception) -> Reason:
    """By the error code, the first word of the reply."""
    code = str(error).partition(" ")[0]
    return {"DENIED": Reason.UNAUTHORIZED, "LOADING": Reason.UNREACHABLE}.get(code, Reason.MALFORMED)


def _untouched(reply: Any, **_: Any) -> Any:
    return reply


def _version(fields: dict[str, str]) -> tuple[int, ...]:
    """ValKey's version; Redis, which has no COMMANDLOG, has none here."""
    parts = fields.get("valkey_version", "").split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
