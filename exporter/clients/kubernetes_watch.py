"""List and watch of the Kubernetes API: one task keeps the objects of a resource current.

Lists are paginated; a watch continues from the list's resourceVersion, updated by bookmarks. A watch that ends is
resumed; after 410 Gone the resource is listed again; after 404 the list is retried until the resource is served. Objects
are passed on as undecoded bytes, because each source decodes only the fields it needs; `kubernetes.aio.watch` decodes every
object twice, neither paginates nor lists, and resumes only once after 410.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from exporter.clients.backoff import Backoff
from exporter.clients.kubernetes import ApiServer, Gone, NotServed, TooLarge, release
from exporter.errors import Reason, SourceError

if TYPE_CHECKING:
    import aiohttp

LIST_PAGE = 500
WATCH_SECONDS = 10
"""Timeout of a watch; the server sends a bookmark two seconds before it, so that the next watch resumes."""
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""A page of a list."""
MAX_OBJECT_BYTES = MAX_EVENT_BYTES = 8 * 1024 * 1024
"""An object or a watch event; etcd's own limit for an object is 1.5 MiB by default."""

_GRACE_SECONDS = 3.0
"""Added to WATCH_SECONDS: an unresponsive server is detected within the sum."""
_SHORT_WATCH_SECONDS = 1.0
"""A watch that ends earlier is resumed after a pause."""
_ABSENT_SECONDS = 5.0
_FIRST_PAUSE = 0.2


Row = TypeVar("Row")


class ObjectStore(Protocol[Row]):
    """Stores objects from lists, page by page, and from watch events; raw JSON each."""

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[tuple[str, str], Row]:
        """The stored form of each object of a page, by namespace and name."""

    def replace(self, scope: str, rows: dict[tuple[str, str], Row]) -> None:
        """Replaces all objects of the scope."""

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        """ADDED, MODIFIED or DELETED."""

    def clear(self, scope: str) -> None:
        """The resource is not served: all objects are unknown, and the next list is a first one."""


class _ListMetadata(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815 - Kubernetes's spelling
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _EventMetadata(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815 - Kubernetes's spelling


class _Versioned(msgspec.Struct):
    metadata: _EventMetadata = msgspec.field(default_factory=_EventMetadata)
    code: int = 0  # from the Status of an ERROR event


class Watch:
    """Keeps one scope of a resource (`path`: all namespaces, one, or a label selector) in an ObjectStore.

    `fallbacks` are paths of older API versions of the resource, tried in order if `path` is not served.

    """

    def __init__(
        self,
        cluster: ApiServer,
        path: str,
        store: ObjectStore[Any],
        *,
        selector: str = "",
        fallbacks: Sequence[str] = (),
    ) -> None:
        self._cluster = cluster
        self._selected = {"labelSelector": selector} if selector else {}
        self._paths = (path, *fallbacks)
        self._path = path
        self._scope = path
        self._store = store
        self._settled = asyncio.Event()
        self.served: bool | None = None
        """Whether the resource is served; None before the first request."""
        self.problem: SourceError | None = SourceError(Reason.TIMEOUT, f"the first list of {path} is not complete")
        """Why the store may be outdated or incomplete; None if it is current."""
        self.lists = 0
        self._page = LIST_PAGE

    @property
    def path(self) -> str:
        """The watched path."""
        return self._path

    async def wait_synced(self) -> None:
        """Returns when the first list is complete or has failed."""
        await self._settled.wait()

    async def run(self) -> None:
        """List and watch forever."""
        version = ""
        is_expired = False
        delays, absent = Backoff(first=_FIRST_PAUSE, longest=2.0), Backoff(_ABSENT_SECONDS, _ABSENT_SECONDS)
        while True:
            try:
                if not version:
                    version = await self._list()
                started = time.monotonic()
                async for reached in self._events(version):
                    version, self.problem = reached, None
                is_expired = False
                delays.reset()
                if time.monotonic() - started < _SHORT_WATCH_SECONDS:
                    await asyncio.sleep(_FIRST_PAUSE)
                continue
            except Gone:
                version = ""
                if not is_expired:  # the usual end of a watch: list again at once
                    is_expired = True
                    continue
                self.problem = SourceError(Reason.UNREACHABLE, f"Kubernetes API: GET {self._path} returned 410 repeatedly")
            except NotServed:
                version = ""
                self._path = self._paths[(self._paths.index(self._path) + 1) % len(self._paths)]
                if self._path != self._paths[0]:
                    continue
                self._store.clear(self._scope)
                self.served, self.problem = False, None
                self._settled.set()
                await asyncio.sleep(absent.next())
                continue
            except SourceError as error:
                self.problem = error
            except TimeoutError:
                self.problem = SourceError(Reason.TIMEOUT, f"Kubernetes API: watch of {self._path} timed out")
            except (OSError, EOFError, msgspec.DecodeError, UnicodeDecodeError) as error:
                self.problem = SourceError(Reason.MALFORMED, f"Kubernetes API: response for {self._path}: {error}")
                version = ""
            self._settled.set()
            await asyncio.sleep(delays.next())

    async def _list(self) -> str:
        """Replace the store's objects; returns the resourceVersion to watch from."""
        rows: dict[tuple[str, str], Any] = {}
        token = ""
        while True:
            query = {"limit": str(self._page)} | self._selected | ({"continue": token} if token else {})
            body = await self._read(query)
            # Decoding takes a few milliseconds per page; other tasks run between pages.
            page = msgspec.json.decode(body, type=_List)
            rows |= self._store.rows(self._scope, page.items or ())
            token = page.metadata.continue_
            if not token:
                break
        self._store.replace(self._scope, rows)
        self.lists += 1
        self.served, self.problem = True, None
        self._settled.set()
        return page.metadata.resourceVersion

    async def _read(self, query: dict[str, str]) -> bytes:
        try:
            return await self._cluster.read(self._path, query, limit=MAX_RESPONSE_BYTES)
        except TooLarge:
            self._page = max(self._page // 8, 1)  # the objects are large: fewer at the next attempt
            raise

    async def _events(self, version: str) -> AsyncIterator[str]:
        """Apply watch events until the server ends the watch; yields the resourceVersion to resume from."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        } | self._selected
        response = await self._cluster.get(self._path, query, total=WATCH_SECONDS + _GRACE_SECONDS)
        try:
            yield version
            async for line in _lines(response):
                event = msgspec.json.decode(line, type=_WatchEvent)
                about = msgspec.json.decode(event.object, type=_Versioned)
                if event.type == "ERROR":
                    if about.code == 410:
                        raise Gone
                    raise SourceError(Reason.UNREACHABLE, f"Kubernetes API: watch of {self._path} ended with {about.code}")
                if event.type != "BOOKMARK":
                    self._store.change(self._scope, event.type, event.object)
                yield about.metadata.resourceVersion or version
        finally:
            release(response)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's reader rejects long ones, and objects can be a megabyte."""
    import aiohttp

    rest = b""
    with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ClientConnectionError):  # the watch ended and is resumed
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_EVENT_BYTES:
                sentence = f"Kubernetes API: watch event: expected at most {MAX_EVENT_BYTES} bytes, got more"
                raise SourceError(Reason.MALFORMED, sentence)
            for line in lines:
                if line:
                    yield line
