"""A connection to NATS with an ordinary account: the options that name a server, and requests of the JetStream API.

Shared by all that reads NATS. A connection that is lost stays lost: who uses it opens another one and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from pydantic import SecretStr

from exporter.clients.jetstream import ListReply, Reply, Stream, StreamList, decoded
from exporter.config.address import NatsAddresses
from exporter.config.options import Options, Secret, option
from exporter.errors import Reason, SourceError

if TYPE_CHECKING:
    from nats.aio.client import Client

R = TypeVar("R", bound=Reply)
L = TypeVar("L", bound=ListReply)
T = TypeVar("T")

_FAREWELL = 1.0
"""Seconds that a connection may take to close; it takes a few milliseconds."""
_SUBSCRIPTION = re.compile(r"permissions violation for subscription to [\"']([^\"' ]+)", re.IGNORECASE)


class NatsServer(Options):
    """Where NATS is and who asks; several addresses are members of one cluster."""

    url: Annotated[
        NatsAddresses, option("host:port, nats:// or tls:// addresses of the members of one cluster.", env="NATS_URL")
    ] = ()
    user: Annotated[str, option("User name.", env="NATS_USER")] = ""
    password: Annotated[Secret, option("Password.", env="NATS_PASSWORD")] = SecretStr("")
    token: Annotated[Secret, option("Token.", env="NATS_TOKEN")] = SecretStr("")
    nkey_file: Annotated[Path | None, option("File with an nkey seed.")] = None
    credentials_file: Annotated[Path | None, option("File with a user's JWT and seed.", env="NATS_CREDS")] = None
    ca_file: Annotated[Path | None, option("Certificate authority of the server, for TLS.")] = None
    cert_file: Annotated[Path | None, option("Client certificate, for mutual TLS.")] = None
    key_file: Annotated[Path | None, option("Key of the client certificate.")] = None
    api_prefix: Annotated[str, option("Prefix of the JetStream API, another one for a domain.")] = "$JS.API"
    inbox_prefix: Annotated[str, option("Prefix of reply subjects; set a separate one if the account is shared.")] = "_INBOX"
    delete_consumers: Annotated[
        bool,
        option("Delete the exporter's own consumers when they are done with; without it they vanish after a minute."),
    ] = True

    @property
    def enabled(self) -> bool:
        return bool(self.url)

    @property
    def server(self) -> str:
        return self.url[0].server if self.url else ""

    def credentials(self) -> dict[str, Any]:
        """The client's arguments that prove who asks. Raises SourceError where a file cannot be used."""
        given: dict[str, Any] = {}
        if self.user:
            given |= {"user": self.user, "password": self.password.get_secret_value()}
        elif (address := next((url for url in self.url if url.user), None)) is not None:
            # The members of a cluster share their accounts; a user alone is a token, as in every client of NATS.
            named = {"user": address.user, "password": address.password}
            given |= named if address.password else {"token": address.user}
        if token := self.token.get_secret_value():
            given["token"] = token
        for name, file in (("nkeys_seed", self.nkey_file), ("user_credentials", self.credentials_file)):
            if file is not None:
                if not file.is_file():
                    raise SourceError(Reason.CONFIG, f"the file {file} cannot be read; give NATS another")
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
            raise SourceError(Reason.CONFIG, f"the TLS files for NATS cannot be used: {error}") from None
        return context


class Connection:
    """One connection of the exporter's to a NatsServer.

    `lost` is set when it ends; `dropped` counts messages that arrived faster than they were taken; `refused_subjects`
    are those that the account may not subscribe to.
    """

    def __init__(self, server: NatsServer, *, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._client: Client | None = None
        self._asked: dict[asyncio.Future[str], str] = {}
        self._inboxes = f"{server.inbox_prefix}.".lower()
        self.api_prefix = server.api_prefix
        self.deletes_consumers = server.delete_consumers
        self.lost = asyncio.Event()
        self.dropped = 0
        self.refused_subjects: set[str] = set()

    @property
    def is_open(self) -> bool:
        return self._client is not None and self._client.is_connected

    @property
    def client(self) -> Client:
        """The client of the open connection. Raises SourceError when there is none."""
        if self._client is None or not self._client.is_connected:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {self._server.server}: the connection was lost")
        return self._client

    @property
    def version(self) -> str:
        version = self.client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    async def open(self) -> None:
        """Connect. Raises SourceError, OSError or TimeoutError."""
        import nats.errors as errors
        from nats.aio.client import Client

        await self.close()
        self.lost.clear()
        server = self._server.server
        told: list[str] = []

        async def on_error(error: Exception) -> None:
            if isinstance(error, errors.SlowConsumerError):
                self.dropped += 1
                return
            told.append(str(error))
            subscription = _SUBSCRIPTION.search(str(error))
            if subscription is not None and not subscription[1].lower().startswith(self._inboxes):
                self.refused_subjects.add(subscription[1])
                return
            if "permissions violation" in str(error).lower():
                self._refuse(str(error).removeprefix("nats: ").strip("'\""))

        async def on_closed() -> None:
            self.lost.set()

        try:
            # Kept before it is connected, so that an attempt that is cut off is closed like a connection.
            self._client = Client()
            await self._client.connect(
                [url.without_credentials for url in self._server.url],
                name="fleet-exporter",
                inbox_prefix=self._server.inbox_prefix,
                connect_timeout=max(1, int(self._timeout)),
                allow_reconnect=False,  # who uses the connection connects again, and says so until it has
                max_reconnect_attempts=1,  # the library's own tries before the first connection, at once
                reconnect_time_wait=0,
                error_cb=on_error,
                closed_cb=on_closed,
                disconnected_cb=on_closed,
                **self._server.credentials(),
            )
        except errors.NoServersError:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {server}: {told[-1] if told else 'no server answers'}") from None
        except (OSError, TimeoutError):
            raise
        except (errors.Error, ValueError, KeyError, AttributeError) as error:
            # nats-py has one exception type for what a server says and several of Python's for what is no NATS.
            text = str(error).removeprefix("nats: ").strip("'\"")
            denied = "authorization" in text.lower() or "authentication" in text.lower()
            if denied:
                raise SourceError(Reason.UNAUTHORIZED, f"NATS at {server}: {text}") from None
            raise SourceError(Reason.MALFORMED, f"{server} does not answer as NATS does: {text}") from None

    async def ask(self, verb: str, kind: type[R], **body: Any) -> R:
        """One request of the JetStream API. A refusal by permissions comes beside the reply, so both are awaited.

        Raises SourceError; an error that JetStream itself answers is in the reply.
        """
        import nats.errors as errors

        client, server = self.client, self._server.server
        refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        subject = f"{self._server.api_prefix}.{verb}"
        payload = json.dumps(body).encode() if body else b""
        self._asked[refused] = subject.lower()
        request = asyncio.ensure_future(client.request(subject, payload, timeout=self._timeout))
        try:
            await asyncio.wait(cast("set[asyncio.Future[Any]]", {request, refused}), return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                raise SourceError(Reason.UNAUTHORIZED, f"NATS at {server}: {refused.result()}")
            return decoded(request.result().data, kind, subject=subject)
        except errors.NoRespondersError:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {server} has no JetStream for this account") from None
        except errors.ConnectionClosedError:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {server}: the connection was lost") from None
        except errors.TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"NATS at {server} did not answer {subject}") from None
        finally:
            del self._asked[refused]
            if not request.done():
                request.cancel()

    def _refuse(self, told: str) -> None:
        """End the requests that the server refuses: that of the subject it names, in lower case, or all where none fits."""
        named = [refused for refused, subject in self._asked.items() if f'"{subject}"' in f'{told.lower()}"']
        for refused in named or self._asked:
            if not refused.done():
                refused.set_result(told)

    async def pages(self, verb: str, kind: type[L], gate: asyncio.Semaphore | None = None) -> list[L]:
        """Every page of a LIST request, those after the first asked side by side. Raises SourceError."""
        async with gate or contextlib.nullcontext():
            first = await self.ask(verb, kind, offset=0)
        if first.limit <= 0 or first.total <= first.limit:
            return [first]
        offsets = range(first.limit, first.total, first.limit)
        return [first, *await together([self.ask(verb, kind, offset=offset) for offset in offsets])]

    async def streams(self) -> list[Stream]:
        """Every stream of the account, by STREAM.LIST. Raises SourceError."""
        return [stream for page in await self.pages("STREAM.LIST", StreamList) for stream in page.streams or ()]

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # After a handshake that failed the library waits without end for the socket to be closed.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_FAREWELL):
                    await client.close()
            await asyncio.sleep(0)  # the socket is closed one turn of the event loop later


async def together(asked: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all side by side; when one fails the others are ended before the failure goes on."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def first_of(*events: asyncio.Event, within: float) -> None:
    """Return when one of the events is set, or after `within` seconds."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
