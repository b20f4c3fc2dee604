"""A connection to NATS with an ordinary account, and requests to the JetStream API.

Shared by every source that reads NATS. A lost connection is not reopened here; the caller reports it and opens it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from exporter.clients.cancellation import cancellable
from exporter.clients.clock import ServerClock
from exporter.clients.concurrency import RequestLimit, together
from exporter.clients.jetstream import PAGE, ListReply, Reply, Stream, StreamList, decoded
from exporter.clients.nats_server import NatsServer
from exporter.errors import Reason, SourceError, network_cause
from exporter.metrics.timestamps import seconds

if TYPE_CHECKING:
    from nats.aio.client import Client

    from exporter.clients.nats_protocol import BoundedClient

R = TypeVar("R", bound=Reply)
L = TypeVar("L", bound=ListReply)

_CLOSE_TIMEOUT = 1.0

# NATS's -ERR messages have no codes: these are the protocol's own constants, which nats-py passes on without a type.
_AUTHORIZATION_ERRORS = (
    "authorization violation",
    "authorization timeout",
    "authentication timeout",
    "user authentication expired",
    "user authentication revoked",
    "account authentication expired",
    "account authentication revoked",
)
_PERMISSIONS_ERROR = "permissions violation"
_SUBSCRIPTION = re.compile(rf"{_PERMISSIONS_ERROR} for subscription to [\"']([^\"' ]+)", re.IGNORECASE)


def _protocol_error(error: Exception) -> str:
    """The -ERR message that nats-py wrapped."""
    return str(error).removeprefix("nats: ").strip("'\"")


class Connection:
    """One connection to a NatsServer.

    `lost` is set when it ends; `dropped` counts messages that arrived faster than they were processed; `refused_subjects`
    are subjects the account may not subscribe to.
    """

    def __init__(self, server: NatsServer, *, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._client: BoundedClient | None = None
        self._asked: dict[asyncio.Future[SourceError], str] = {}
        self._inboxes = f"{server.inbox_prefix}.".lower()
        self.api_prefix = server.api_prefix
        self.deletes_consumers = server.delete_consumers
        self.lost = asyncio.Event()
        self.dropped = 0
        self.clock = ServerClock()
        self.refused_subjects: set[str] = set()

    @property
    def is_open(self) -> bool:
        return self._client is not None and self._client.is_connected

    @property
    def client(self) -> Client:
        """The client of the open connection. Raises SourceError if there is none."""
        if self._client is None or not self._client.is_connected:
            raise self.loss()
        return self._client

    def loss(self) -> SourceError:
        """Why the connection ended."""
        import nats.errors as errors

        failure = self._client.failure if self._client is not None else None
        reason, sentence = Reason.UNREACHABLE, "the connection was lost"
        if isinstance(failure, errors.ProtocolError):
            reason, sentence = Reason.MALFORMED, str(failure)
        elif isinstance(failure, errors.StaleConnectionError) and not isinstance(failure, errors.UnexpectedEOF):
            reason, sentence = Reason.TIMEOUT, "the server does not respond"
        return SourceError(reason, f"NATS at {self._server.server}: {sentence}")

    @contextlib.contextmanager
    def losing(self) -> Iterator[None]:
        """Raises `loss()` instead of the errors of nats-py's calls that find the connection closed."""
        import nats.errors as errors

        try:
            yield
        except errors.Error:
            if self.is_open:
                raise
            raise self.loss() from None

    @property
    def server(self) -> str:
        """host:port of the server it is connected to; of the first configured one if there is no connection."""
        url = self._client.connected_url if self._client is not None else None
        return url.netloc.rpartition("@")[2] if url is not None else self._server.server

    @property
    def version(self) -> str:
        """The version of the server it is connected to."""
        version = self.client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    async def open(self) -> None:
        """Connect. Raises SourceError."""
        import nats.errors as errors

        from exporter.clients.nats_protocol import BoundedClient, Malformed

        await self.close()
        self.lost.clear()
        last_error: Exception | None = None

        async def on_error(error: Exception) -> None:
            nonlocal last_error
            if isinstance(error, errors.SlowConsumerError):
                self.dropped += 1
                return
            last_error = error
            text = _protocol_error(error)
            subscription = _SUBSCRIPTION.search(text)
            if subscription is not None and not subscription[1].lower().startswith(self._inboxes):
                self.refused_subjects.add(subscription[1])
                return
            if text.lower().startswith(_PERMISSIONS_ERROR):
                self._refuse(text)

        async def on_closed() -> None:
            self.lost.set()
            loss = self.loss()
            for refused in self._asked:  # nats-py leaves requests waiting for their time-out
                if not refused.done():
                    refused.set_result(loss)

        try:
            # Set before it is connected, so that a cancelled attempt is closed like a connection.
            self._client = BoundedClient()
            connecting = self._client.connect(
                [url.without_credentials for url in self._server.url],
                name="fleet-exporter",
                inbox_prefix=self._server.inbox_prefix,
                connect_timeout=max(1, int(self._timeout)),
                allow_reconnect=False,  # the caller reconnects, and reports the source as down until then
                max_reconnect_attempts=1,  # the library's own tries before the first connection, at once
                reconnect_time_wait=0,
                error_cb=on_error,
                closed_cb=on_closed,
                disconnected_cb=on_closed,
                **self._server.credentials(),
            )
            await cancellable(connecting)
        except errors.NoServersError:
            raise self._connect_error(last_error) from None
        except (OSError, TimeoutError, errors.Error, ValueError, KeyError, TypeError, AttributeError) as error:
            # nats-py lets Python's own exceptions through when the server does not speak NATS.
            raise self._connect_error(error) from None
        if not self._client.is_connected:  # neither PONG nor -ERR
            raise self._connect_error(Malformed("something else"))

    def _connect_error(self, error: Exception | None) -> SourceError:
        server = self._server.server
        if isinstance(error, TimeoutError):
            return SourceError(Reason.TIMEOUT, f"NATS at {server}: no response within {self._timeout:.3g} s")
        if error is None or isinstance(error, OSError):
            cause = network_cause(error) if error is not None else "no server responds"
            return SourceError(Reason.UNREACHABLE, f"NATS at {server}: {cause}")
        text = _protocol_error(error)
        if text.lower().startswith(_AUTHORIZATION_ERRORS):
            return SourceError(Reason.UNAUTHORIZED, f"NATS at {server}: {text}; check the credentials")
        return SourceError(Reason.MALFORMED, f"{server}: expected the NATS protocol, got {text}; check the port")

    async def ask(self, verb: str, kind: type[R], **body: Any) -> R:
        """One JetStream API request. A permissions violation arrives separately from the reply, so both are awaited.

        Raises SourceError for everything but a 404 reply, which is returned.
        """
        import nats.errors as errors

        client, server = self.client, self.server
        refused: asyncio.Future[SourceError] = asyncio.get_running_loop().create_future()
        subject = f"{self._server.api_prefix}.{verb}"
        payload = json.dumps(body).encode() if body else b""
        self._asked[refused] = subject.lower()
        request = asyncio.ensure_future(client.request(subject, payload, timeout=self._timeout))
        try:
            await asyncio.wait(cast("set[asyncio.Future[Any]]", {request, refused}), return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                raise refused.result()
            return decoded(request.result().data, kind, subject=subject)
        except errors.NoRespondersError:
            raise SourceError(Reason.UNREACHABLE, f"NATS at {server}: JetStream is not enabled for this account") from None
        except errors.ConnectionClosedError:
            raise self.loss() from None
        except errors.TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"NATS at {server}: {subject} timed out") from None
        finally:
            del self._asked[refused]
            if not request.done():
                request.cancel()

    def _refuse(self, violation: str) -> None:
        """Fail the requests whose subject the violation names, in lower case; all of them if it names none."""
        named = [refused for refused, subject in self._asked.items() if f'"{subject}"' in f'{violation.lower()}"']
        for refused in named or self._asked:
            if not refused.done():
                refused.set_result(SourceError(Reason.UNAUTHORIZED, f"NATS at {self.server}: {violation}"))

    async def pages(self, verb: str, kind: type[L], *, limit: RequestLimit | None = None, expected: int = 0) -> list[L]:
        """Every page of a LIST request. Raises SourceError.

        `expected` is the number of entries if it is known; the pages for them are requested concurrently, since each
        takes four seconds where a node is down.
        """

        def asked(offsets: Iterable[int]) -> list[Coroutine[Any, Any, L]]:
            requests = [self.ask(verb, kind, offset=offset) for offset in offsets]
            return requests if limit is None else [limit.run(request) for request in requests]

        first = range(0, max(expected, 1), PAGE)
        found = await together(asked(first))
        total, size = found[0].total, found[0].limit
        if size != PAGE and total > size > 0:  # offsets of another page size would leave entries out
            return [found[0], *await together(asked(range(size, total, size)))]
        return [*found, *await together(asked(range(first[-1] + PAGE, total, PAGE)))]

    async def stream_list(self, *, expected: int = 0) -> tuple[list[Stream], list[str], int]:
        """(streams, names of offline streams, number of both) of the account, by STREAM.LIST. Raises SourceError."""
        pages = await self.pages("STREAM.LIST", StreamList, expected=expected)
        streams = {stream.config.name: stream for page in pages for stream in page.streams or ()}
        if responded := [at for stream in streams.values() if (at := seconds(stream.ts)) is not None]:
            self.clock.record(max(responded))
        offline = {name: None for page in pages for name in page.unavailable if name not in streams}
        return list(streams.values()), list(offline), pages[0].total

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # After a failed handshake the library waits forever for the socket to close.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await client.close()
            await asyncio.sleep(0)  # the socket closes one iteration of the event loop later
