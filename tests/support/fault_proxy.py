"""A TCP proxy that injects the faults of networks, load balancers and dying servers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from exporter.errors import Reason

_CHUNK = 64 * 1024
_SLOW_SECONDS = 1.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: closing sends RST."""


class Mode(StrEnum):
    """What happens to connections, the open ones included."""

    PASS = "pass"
    REFUSE = "refuse"
    """Nothing listens: connections are reset and new ones refused."""
    RESET = "reset"
    """Accepted, then reset."""
    CLOSE = "close"
    """Accepts and closes without a byte, like a load balancer without a backend."""
    HANG = "hang"
    """Forwards nothing; delayed bytes are forwarded after the fault."""
    SLOW = "slow"
    """One byte of a reply per second."""
    CUT = "cut"
    """Closed in the middle of a reply."""
    GARBAGE = "garbage"
    """Replies are random bytes."""


REASONS = {
    Mode.REFUSE: Reason.UNREACHABLE,
    Mode.RESET: Reason.UNREACHABLE,
    Mode.CLOSE: Reason.UNREACHABLE,
    Mode.HANG: Reason.TIMEOUT,
    Mode.SLOW: Reason.TIMEOUT,
    Mode.CUT: Reason.MALFORMED,
    Mode.GARBAGE: Reason.MALFORMED,
}
"""How a source that reads one server reports each fault."""


ABORTING = frozenset({Mode.REFUSE, Mode.RESET, Mode.CLOSE})
CUT_BYTES = 17
"""Bytes of a connection's replies that pass in the mode CUT."""


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and passes connections on to a target; made by `fault_proxy`.

    `rewrite` changes every chunk of a reply; it must keep its length where the protocol counts bytes.
    """

    def __init__(self, host: str, port: int, rewrite: Callable[[bytes], bytes] | None, seed: int) -> None:
        self._target = (host, port)
        self._rewrite = rewrite
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port = 0

    @property
    def address(self) -> str:
        """host:port to connect to."""
        return f"127.0.0.1:{self.port}"

    def set(self, mode: Mode) -> None:
        """Inject this fault from now on; PASS ends it."""
        self._call(self._set(mode))

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if mode is Mode.REFUSE:
            await self._unlisten()
        elif self._server is None:
            await self._listen()
        if mode in ABORTING:
            await self._cut_all()

    async def _cut_all(self) -> None:
        for task, writer in tuple(self._open.items()):
            _close(writer, reset=self._mode is not Mode.CLOSE)
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _end(self) -> None:
        self._mode = Mode.CLOSE  # for connections that are accepted already and not treated yet
        await self._unlisten()
        for _ in range(2):
            await self._cut_all()
            await asyncio.sleep(0.02)  # transports close their sockets in a later iteration

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            if self._mode in ABORTING:
                _close(writer, reset=self._mode is not Mode.CLOSE)
                return
            await self._passing()
            with contextlib.suppress(OSError):
                await self._connect(reader, writer)
        except asyncio.CancelledError:
            pass  # the mode changed, or the proxy ends
        finally:
            del self._open[task]
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_target, to_target = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.create_task(self._requests(reader, to_target)),
            asyncio.create_task(self._replies(from_target, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_target.transport.abort()  # first: a second cancellation ends the wait below
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _passing(self) -> None:
        while self._mode is Mode.HANG:
            await self._changed.wait()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._passing()
            writer.write(data)
            await writer.drain()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room = CUT_BYTES
        while data := await reader.read(_CHUNK):
            await self._passing()
            if self._rewrite is not None:
                data = self._rewrite(data)
            if self._mode is Mode.GARBAGE:
                data = self._random.randbytes(len(data))
            if self._mode is Mode.CUT:
                writer.write(data[:room])
                room -= len(data)
                if room <= 0:
                    return
                continue
            while data and self._mode is Mode.SLOW:
                writer.write(data[:1])
                data = data[1:]
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _SLOW_SECONDS)
            writer.write(data)
            await writer.drain()


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    found = writer.get_extra_info("socket")
    if reset and found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    else:
        writer.close()


@contextmanager
def fault_proxy(
    target: str | int, *, rewrite: Callable[[bytes], bytes] | None = None, seed: int = 0
) -> Iterator[FaultProxy]:
    """A running proxy before a URL, or a port of 127.0.0.1."""
    if isinstance(target, int):
        host, port = "127.0.0.1", target
    else:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        host, port = parts.hostname, parts.port
    proxy = FaultProxy(host, port, rewrite, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
