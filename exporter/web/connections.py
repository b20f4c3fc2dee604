"""Connection limits, applied before other work: number of connections, size and duration of a request head, stalled writes.

uvicorn limits the head only with h11. Measured CPU per response of 50 kB: 137 µs with httptools, 170 µs with these limits,
250 µs with granian, 623 µs with h11; for an endless header: 4.7 s with httptools, at most 10 ms with the others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together."""
REQUEST_SECONDS = 10.0
"""Seconds from a request's first byte, or the opening of the connection, to the request's last byte."""
STALL_SECONDS = 20.0
"""Seconds without progress after which a client with pending data is disconnected."""
IS_STREAM = "is_stream"
"""Set in the state of a request whose response ends only with its connection."""
_MOST_CONNECTIONS = 2000
_FILES_KEPT = 100
"""File descriptors reserved for backends and files."""
_LOG_SECONDS = 60.0

log = logging.getLogger(__name__)


def _limit() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(_MOST_CONNECTIONS, files - _FILES_KEPT), 10)


@dataclass
class Connections:
    """Open connections. At the limit, the oldest idle connection is closed; if there is none, the new one."""

    limit: int = field(default_factory=_limit)
    open: dict[asyncio.BaseTransport, str] = field(default_factory=dict)
    of_address: Counter[str] = field(default_factory=Counter)
    waiting: dict[asyncio.BaseTransport, str] = field(default_factory=dict)
    logged: float = float("-inf")

    @property
    def limit_per_address(self) -> int:
        return max(self.limit // 2, 1)

    def admit(self, new: asyncio.Transport, address: str) -> bool:
        """Whether there is room for a connection from this address, after closing an idle one."""
        address_is_full = self.of_address[address] >= self.limit_per_address
        if address_is_full or len(self.open) >= self.limit:
            self._log(address)
            idle = (one for one, where in self.waiting.items() if not address_is_full or where == address)
            if (oldest := next(idle, None)) is None:
                return False
            self.closed(oldest)
            cast("asyncio.Transport", oldest).abort()
        self.open[new] = self.waiting[new] = address
        self.of_address[address] += 1
        return True

    def idle(self, one: asyncio.BaseTransport) -> None:
        """It has no request in progress, and is closed for another if need be; `busy` is the opposite."""
        if one in self.open:
            self.waiting[one] = self.open[one]

    def busy(self, one: asyncio.BaseTransport) -> None:
        self.waiting.pop(one, None)

    def closed(self, one: asyncio.BaseTransport) -> None:
        self.waiting.pop(one, None)
        address = self.open.pop(one, None)
        if address is not None:
            self.of_address[address] -= 1
            if not self.of_address[address]:
                del self.of_address[address]

    def _log(self, address: str) -> None:
        if time.monotonic() - self.logged > _LOG_SECONDS:
            self.logged = time.monotonic()
            log.warning(
                "too many connections; closing the oldest without a request",
                extra={"open": len(self.open), "limit": self.limit, "address": address},
            )


def _at_debug(record: logging.LogRecord) -> bool:
    """Whether to log a warning about an invalid request, at level debug: anyone could fill the log with them."""
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return log.isEnabledFor(logging.DEBUG)


_requests = logging.getLogger(f"{__name__}.requests")
_requests.addFilter(_at_debug)


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with these limits."""

    limits: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _requests
        self._head = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn: of any transport
        super().connection_made(transport)
        if self.limits.admit(transport, self.client[0] if self.client else ""):
            self._start_deadline()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.limits.closed(self.transport)
        self._end_deadline()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._deadline is None and self._in_head:
            self._start_deadline()
        room = MAX_HEAD_BYTES - self._head
        if self._in_head and len(data) > room:
            super().data_received(data[:room])
            if self._in_head:
                self._refuse(431, f"request line and headers: expected at most {MAX_HEAD_BYTES} bytes, got more")
            elif not self.transport.is_closing():
                super().data_received(data[room:])
            return
        if self._in_head:
            self._head += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head = True, 0
        self._end_deadline()
        self.limits.busy(self.transport)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.limits.idle(self.transport)
        super().on_response_complete()

    def shutdown(self) -> None:
        """Close an event stream, which never ends by itself; complete any other response in progress."""
        if self.cycle is not None and self.cycle.scope["state"].get(IS_STREAM):
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_late)
        self.limits.idle(self.transport)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        self._refuse(408, f"the request: expected within {REQUEST_SECONDS:.0f} seconds")

    def _refuse(self, status: int, detail: str) -> None:
        """Respond without the application, and close the connection."""
        if self.transport.is_closing():
            return
        phrase = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\nx-content-type-options: nosniff\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket, which takes the connection over from the LimitedProtocol of its handshake."""

    limits: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _requests

    def connection_lost(self, exc: Exception | None) -> None:
        self.limits.closed(self.transport)
        super().connection_lost(exc)


def limited_protocols() -> tuple[type[LimitedProtocol], type[LimitedWebSocket]]:
    """The classes for HTTP and WebSockets, with their own counters, for one server."""
    limits = {"limits": Connections()}
    return type("LimitedProtocol", (LimitedProtocol,), limits), type("LimitedWebSocket", (LimitedWebSocket,), limits)
