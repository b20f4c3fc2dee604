"""NATS JetStream over the client port with an ordinary account: STREAM.LIST, CONSUMER.LIST, INFO; nothing is created.

Lists come in pages of 256, asked side by side. For lagging consumers the oldest message above the acknowledgement floor
is looked up once (STREAM.MSG.GET) and remembered until the floor moves; how many of these a scrape makes is capped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BeforeValidator, PrivateAttr, SecretStr

from exporter.metric import Metric, Sample
from exporter.source import Addresses, Count, Names, Reason, Source, SourceError, option
from exporter.sources.jetstream import samples
from exporter.sources.jetstream.api import (
    Account,
    Consumer,
    ConsumerList,
    MessageReply,
    Reply,
    Stream,
    StreamList,
    decoded,
)

if TYPE_CHECKING:
    from nats.aio.client import Client

R = TypeVar("R", bound=Reply)

_AT_ONCE = 8  # requests in flight: enough to keep a server busy, too few to bother it


def _pairs(value: Any) -> Any:
    """`orch-=orchestrator,context-=context` as a mapping."""
    if isinstance(value, str):
        return dict(part.strip().partition("=")[::2] for part in value.split(",") if part.strip())
    return value


SERVICES = {
    "orch-": "orchestrator",
    "deliberation-collector": "orchestrator",
    "orchestrator-": "orchestrator",
    "context-": "context",
    "planning-": "planning",
    "planning-ceremony-processor-": "planning-ceremony-processor",
    "workflow-": "workflow",
    "task-derivation-": "task-derivation",
    "backlog-review-processor-": "backlog-review-processor",
}


class Jetstream(Source):
    """One NATS deployment; several addresses are members of one cluster."""

    kind: ClassVar[str] = "jetstream"
    metrics: ClassVar[tuple[Metric, ...]] = samples.METRICS

    url: Annotated[Addresses, option("nats:// or tls:// addresses of the members of one cluster.", env="NATS_URL")] = ()
    user: Annotated[str, option("User name.", env="NATS_USER")] = ""
    password: Annotated[SecretStr, option("Password.", env="NATS_PASSWORD")] = SecretStr("")
    token: Annotated[SecretStr, option("Token.", env="NATS_TOKEN")] = SecretStr("")
    nkey_file: Annotated[Path | None, option("File with an nkey seed.")] = None
    credentials_file: Annotated[Path | None, option("File with a user's JWT and seed.", env="NATS_CREDS")] = None
    ca_file: Annotated[Path | None, option("Certificate authority of the server, for TLS.")] = None
    cert_file: Annotated[Path | None, option("Client certificate, for mutual TLS.")] = None
    key_file: Annotated[Path | None, option("Key of the client certificate.")] = None
    api_prefix: Annotated[str, option("Prefix of the JetStream API, another one for a domain.")] = "$JS.API"
    expected: Annotated[Names, option("Streams, and consumers as stream/consumer, reported as present or missing.")] = ()
    services: Annotated[
        dict[str, str],
        BeforeValidator(_pairs),
        option("Service by prefix of the consumer's name: prefix=service, with commas."),
    ] = SERVICES
    ephemeral_consumers: Annotated[bool, option("Show ephemeral consumers one by one, not their sum.")] = False
    oldest_reads: Annotated[Count, option("Most messages looked up per scrape for the oldest unacknowledged one.")] = 32

    _client: Client | None = PrivateAttr(None)
    _refused: asyncio.Future[str] | None = PrivateAttr(None)
    _known: dict[tuple[str, str], samples.Known] = PrivateAttr(default_factory=dict)
    _oldest: dict[tuple[str, str], tuple[int, float]] = PrivateAttr(default_factory=dict)

    @property
    def enabled(self) -> bool:
        return bool(self.url)

    @property
    def server(self) -> str:
        return self.url[0].server if self.url else ""

    async def collect(self) -> Iterable[Sample]:
        client = await self._connected()
        began = time.perf_counter()
        account = await self._ask("INFO", Account)
        round_trip = time.perf_counter() - began
        if account.error is not None:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {self.server}: {account.error.description}")
        streams = await self._streams()
        rows = await self._rows(streams)
        durable = rows if self.ephemeral_consumers else [row for row in rows if row[2].config.durable_name]
        oldest = await self._oldest_unacknowledged(durable)
        names = [stream.config.name for stream in streams]
        found = [
            *samples.account_samples(account, round_trip=round_trip, server=self.server, version=_version(client)),
            *(sample for stream in streams for sample in samples.stream_samples(stream)),
            *samples.consumer_samples(durable, oldest),
            *samples.expected_samples(self.expected, names, rows),
        ]
        ephemeral = [row for row in rows if not row[2].config.durable_name]
        found.extend(samples.ephemeral_samples(names, ephemeral))
        return found

    async def _streams(self) -> list[Stream]:
        first = await self._ask("STREAM.LIST", StreamList, offset=0)
        pages = await self._rest("STREAM.LIST", StreamList, first.total, first.limit)
        return [stream for page in (first, *pages) for stream in page.streams or ()]

    async def _rows(self, streams: Sequence[Stream]) -> list[samples.Row]:
        """Every consumer of every stream with what is kept about it; what vanished is forgotten."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def consumers_of(stream: str) -> tuple[str, list[Consumer]]:
            async with gate:
                first = await self._ask(f"CONSUMER.LIST.{stream}", ConsumerList, offset=0)
            pages = await self._rest(f"CONSUMER.LIST.{stream}", ConsumerList, first.total, first.limit)
            return stream, [consumer for page in (first, *pages) for consumer in page.consumers or ()]

        names = [stream.config.name for stream in streams if stream.state.consumer_count]
        found = await _together([consumers_of(name) for name in names])
        rows, kept = [], {}
        for stream, consumers in found:
            for consumer in consumers:
                known = self._known.get((stream, consumer.name))
                if known is None or known.raw != bytes(consumer.config):
                    known = samples.known_consumer(stream, consumer, self.services)
                kept[stream, consumer.name] = known
                rows.append((stream, consumer, known))
        self._known = kept
        return rows

    async def _rest(self, verb: str, kind: type[R], total: int, limit: int) -> list[R]:
        """The pages after the first."""
        if limit <= 0 or total <= limit:
            return []
        return await _together([self._ask(verb, kind, offset=offset) for offset in range(limit, total, limit)])

    async def _oldest_unacknowledged(self, rows: Sequence[samples.Row]) -> dict[tuple[str, str], float]:
        """When the oldest unacknowledged message was stored, for as many lagging consumers as the cap allows."""
        lagging = {(stream, row.name): (row, known) for stream, row, known in rows if row.lag > 0}
        self._oldest = {key: value for key, value in self._oldest.items() if key in lagging}
        moved = [
            key
            for key, (consumer, _) in sorted(lagging.items(), key=lambda item: -item[1][0].lag)
            if key not in self._oldest or self._oldest[key][0] != consumer.ack_floor.stream_seq
        ]
        for key in moved:
            self._oldest.pop(key, None)

        async def look_up(key: tuple[str, str]) -> None:
            consumer, known = lagging[key]
            floor = consumer.ack_floor.stream_seq
            times = []
            for subject in known.config.filters or (">",):
                reply = await self._ask(f"STREAM.MSG.GET.{key[0]}", MessageReply, seq=floor + 1, next_by_subj=subject)
                if reply.message is not None and (moment := samples.seconds(reply.message.time)) is not None:
                    times.append(moment)
            if times:
                self._oldest[key] = (floor, min(times))

        await _together([look_up(key) for key in moved[: self.oldest_reads]])
        return {key: moment for key, (_, moment) in self._oldest.items()}

    async def _ask(self, verb: str, kind: type[R], **body: Any) -> R:
        """One request of the JetStream API. A refusal by permissions comes beside the reply, so both are awaited."""
        import nats.errors as errors

        client, refused = self._client, self._refused
        if client is None or refused is None:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {self.server}: the connection was lost")
        subject = f"{self.api_prefix}.{verb}"
        payload = json.dumps(body).encode() if body else b""
        request = asyncio.ensure_future(client.request(subject, payload, timeout=self.timeout))
        try:
            await asyncio.wait(cast("set[asyncio.Future[Any]]", {request, refused}), return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                raise SourceError(Reason.UNAUTHORIZED, f"NATS at {self.server}: {refused.result()}")
            return decoded(request.result().data, kind, subject=subject)
        except errors.NoRespondersError:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {self.server} has no JetStream for this account") from None
        except errors.ConnectionClosedError:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {self.server}: the connection was lost") from None
        except errors.TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"NATS at {self.server} did not answer {subject}") from None
        finally:
            if not request.done():
                request.cancel()

    async def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self.close()
        import nats.errors as errors
        from nats.aio.client import Client

        self._refused = asyncio.get_running_loop().create_future()

        told: list[str] = []

        async def on_error(error: Exception) -> None:
            told.append(str(error))
            refused = self._refused
            if "permissions violation" in str(error).lower() and refused is not None and not refused.done():
                refused.set_result(str(error).removeprefix("nats: ").strip("'\""))

        try:
            # Kept before it is connected, so that an attempt that is cut off is closed like a connection.
            self._client = Client()
            await self._client.connect(
                [url.get_secret_value() for url in self.url],
                name="fleet-exporter",
                connect_timeout=max(1, int(self.timeout)),
                allow_reconnect=False,  # the next scrape connects again, and says so until it has
                max_reconnect_attempts=1,  # the library's own tries before the first connection, at once
                reconnect_time_wait=0,
                error_cb=on_error,
                **self._credentials(),
            )
        except errors.NoServersError:
            raise SourceError(
                Reason.UNREACHABLE, f"NATS at {self.server}: {told[-1] if told else 'no server answers'}"
            ) from None
        except (OSError, TimeoutError):
            raise
        except (errors.Error, ValueError, KeyError, AttributeError) as error:
            # nats-py has one exception type for what a server says and several of Python's for what is no NATS.
            text = str(error).removeprefix("nats: ").strip("'\"")
            denied = "authorization" in text.lower() or "authentication" in text.lower()
            if denied:
                raise SourceError(Reason.UNAUTHORIZED, f"NATS at {self.server}: {text}") from None
            raise SourceError(Reason.MALFORMED, f"{self.server} does not answer as NATS does: {text}") from None
        return self._client

    def _credentials(self) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.user:
            given |= {"user": self.user, "password": self.password.get_secret_value()}
        if token := self.token.get_secret_value():
            given["token"] = token
        for name, file in (("nkeys_seed", self.nkey_file), ("user_credentials", self.credentials_file)):
            if file is not None:
                if not file.is_file():
                    raise SourceError(Reason.UNAUTHORIZED, f"the file {file} cannot be read; give NATS another")
                given[name] = str(file)
        if self.ca_file or self.cert_file:
            given["tls"] = self._tls()
        return given

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise SourceError(Reason.UNAUTHORIZED, f"the TLS files for NATS cannot be used: {error}") from None
        return context

    async def close(self) -> None:
        client, self._client, self._refused = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()
            await asyncio.sleep(0)  # the socket is closed one turn of the event loop later


def _version(client: Client) -> str:
    version = client.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"


async def _together(asked: Sequence[Any]) -> list[Any]:
    """Await all side by side; when one fails the others are ended before the failure goes on."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
