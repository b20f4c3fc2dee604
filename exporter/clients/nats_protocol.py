"""nats-py with bounded buffers, and a type for each way in which a connection can fail. Imported at the first connection."""

from __future__ import annotations

from typing import Any, Final

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error, ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

MAX_BUFFER_BYTES: Final = 64 * 1024 * 1024
"""The largest max_payload that a server accepts; nats-py by itself keeps whatever the server announces."""
_MAX_LINE_BYTES: Final = 1024 * 1024
"""Longer than INFO of a large cluster."""
_FIRST_BYTES: Final = tuple(bytes([byte]) for byte in b"IP+-MHipmh")
"""Of INFO, PING and PONG, +OK, -ERR, MSG and HMSG."""


class Closed(Error, ConnectionError):
    """The server closed the connection before it sent a byte."""


class Malformed(ProtocolError):
    """The data violates the protocol or is too large; the message names which."""

    __str__ = Exception.__str__  # the base class has the same message for everything


class _Transport(TcpTransport):
    """Reads whole lines during the handshake; nats-py raises the same error for no line, half a line and an invalid line."""

    def __bool__(self) -> bool:
        return True  # kept by the client before it is connected, too

    async def readline(self) -> bytes:
        first = await super().read(1)
        if first and first not in _FIRST_BYTES:  # checked before a line is complete, because it may never be
            raise Malformed("expected the NATS protocol, got something else")
        try:
            line: bytes = first + await super().readline()  # type: ignore[no-untyped-call]  # nats-py does not annotate it
        except ValueError:
            raise Malformed("expected a line of the NATS protocol, got one without an end") from None
        if not line:
            raise Closed("the server closed the connection")
        if not line.endswith(b"\n"):
            raise Malformed("expected a whole line, got one that was cut short")
        return line


class _ProtocolParser(Parser):
    """A parser with bounded buffers and one error type for protocol violations."""

    async def parse(self, data: bytes = b"") -> None:
        try:
            if not data and self.buf:
                raise Malformed("expected a whole message, got one that was cut short")
            try:
                await super().parse(data)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise Malformed("expected the NATS protocol, got something else") from None
            if (size := max(len(self.buf), self.needed)) > MAX_BUFFER_BYTES:
                raise Malformed(f"expected messages of at most {MAX_BUFFER_BYTES} bytes, got one of {size} or more")
            if self.state == AWAITING_CONTROL_LINE and self.buf:
                if bytes(self.buf[:1]) not in _FIRST_BYTES:
                    raise Malformed("expected the NATS protocol, got something else")
                if len(self.buf) > _MAX_LINE_BYTES:
                    raise Malformed(f"expected a line of at most {_MAX_LINE_BYTES} bytes, got one without an end")
        except ProtocolError as error:
            self.nc.failure = self.nc.failure or error  # the client replaces it with an error without a message
            raise


class BoundedClient(Client):
    """nats-py's client; `failure` is why its connection ended, None while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = _ProtocolParser(self)
        self.failure: Exception | None = None

    async def _connect_to_server(self, s: Any) -> None:
        if s.uri.scheme not in ("ws", "wss"):
            self._transport = _Transport()  # type: ignore[no-untyped-call]  # nats-py does not annotate it
        await super()._connect_to_server(s)

    async def _process_op_err(self, e: Exception) -> None:
        if self.failure is None:
            self.failure = e
        # What is pending cannot be sent. nats-py would try, fail, and leave `closed_cb` uncalled and the socket open.
        self._pending, self._pending_data_size = [], 0
        await super()._process_op_err(e)
