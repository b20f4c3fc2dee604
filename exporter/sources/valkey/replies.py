"""RESP replies of a bounded size; one that is cut short is no reply. Imported when a connection is opened."""

from __future__ import annotations

from asyncio import IncompleteReadError, StreamReader
from typing import Any, Final, cast

from redis._parsers.resp2 import _AsyncRESP2Parser
from redis.exceptions import ConnectionError, InvalidResponse  # noqa: A004 - the client's own

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
"""INFO ALL takes about 100 kB, a page of SCAN with ordinary keys less."""
_ELEMENT_BYTES: Final = 64
"""Memory that an element of an array takes besides its content."""
_KINDS: Final = (b"+", b"-", b":", b"$", b"*")


class _LineReader:
    """A reader whose lines are whole and of RESP: the client's parser takes half a line for a closed connection."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def readline(self) -> bytes:
        kind = await self._reader.read(1)
        if kind and kind not in _KINDS:  # known before a line is complete, which it may never be
            raise InvalidResponse("expected a RESP reply, got something else")
        line = kind + await self._reader.readline()
        if line and not line.endswith(b"\r\n"):
            raise InvalidResponse("expected a whole line of a RESP reply, got a part or something else")
        return line


class BoundedParser(_AsyncRESP2Parser):
    """The client's parser, which by itself reads replies of any size and has one error for all ends of a connection."""

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._bytes = 0

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)  # type: ignore[no-untyped-call]  # redis-py does not annotate it
        self._stream = cast(StreamReader, _LineReader(cast(StreamReader, self._stream)))

    async def read_response(self, disable_decoding: bool = False) -> Any:
        self._bytes = 0
        try:
            return await super().read_response(disable_decoding)
        except ConnectionError as error:
            if type(error) is not ConnectionError:  # an error reply: refused credentials, too many clients
                raise
            if self._bytes or (isinstance(error.__cause__, IncompleteReadError) and error.__cause__.partial):
                raise InvalidResponse("expected a whole reply, got one that was cut short") from None
            raise
        except (ValueError, RecursionError):  # not a number, a line longer than the reader's buffer, arrays in arrays
            raise InvalidResponse("expected a RESP reply, got something else") from None

    async def _read(self, length: int) -> bytes:
        if length < 0:
            raise InvalidResponse(f"expected a RESP reply, got one of {length} bytes")
        self._count(length)
        return await super()._read(length)

    async def _readline(self) -> bytes:
        line = await super()._readline()
        self._count(len(line) + _ELEMENT_BYTES)
        return line

    def _count(self, length: int) -> None:
        self._bytes += length
        if self._bytes > MAX_REPLY_BYTES:
            raise InvalidResponse(f"expected a reply of at most {MAX_REPLY_BYTES} bytes, got {self._bytes} or more")
