"""List and watch over the Kubernetes API: one task keeps a kind's objects current; what it cannot know it says.

A list comes in pages, then a watch goes on from its version, moved along by bookmarks. A watch that ends is resumed, one
whose version is gone (410) is listed anew, a kind that is not served (404) is asked for again until it is. Objects arrive
as undecoded bytes: each source decodes what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import msgspec

from exporter.errors import Reason, SourceError

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio.client import ApiClient

log = logging.getLogger(__name__)

LIST_PAGE = 500
WATCH_SECONDS = 60
"""A watch is asked to end after this, so that a server which has stopped answering is noticed within it."""

_GRACE_SECONDS = 10.0
_ABSENT_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


Row = TypeVar("Row")


class ObjectStore(Protocol[Row]):
    """Who keeps the objects: told of whole lists, a page at a time, and of single changes; raw JSON each."""

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[tuple[str, str], Row]:
        """A page of a list as what the store keeps of each object, by namespace and name."""

    def replace(self, scope: str, rows: dict[tuple[str, str], Row]) -> None:
        """These are all the objects of that scope; what was there before and is not among them is gone."""

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        """ADDED, MODIFIED or DELETED."""

    def clear(self, scope: str) -> None:
        """The server does not serve the kind: nothing is known, and the next list is a first one again."""


class _ListMetadata(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815 - Kubernetes's spelling
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Metadata(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815


class _Versioned(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    code: int = 0  # of the Status that an ERROR event carries


class Gone(Exception):
    """410: the version is too old to go on from."""


class NotServed(Exception):
    """404: the kind is not known to the server."""


def location(kubeconfig: Path | None, context: str) -> str:
    """Which cluster that is, for people."""
    if kubeconfig is None:
        return "Kubernetes API (in cluster)"
    return f"Kubernetes API ({context or kubeconfig.name})"


class Cluster:
    """One API server: credentials from a kubeconfig, or the pod's own. Connects at first use."""

    def __init__(self, kubeconfig: Path | None, *, context: str = "", timeout: float) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout = timeout
        self._client: ApiClient | None = None

    async def get(self, path: str, query: Mapping[str, str], *, silence: float | None = None) -> aiohttp.ClientResponse:
        """An open reply with status 200, which may be silent for `silence` seconds; the caller releases it.

        Raises Gone, NotServed or SourceError.
        """
        import aiohttp

        client = await self._connected()
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=silence or self._timeout)
        try:
            request = await client.param_serialize(
                "GET", path, query_params=list(query.items()), auth_settings=["BearerToken"]
            )
            reply = cast("aiohttp.ClientResponse", (await client.call_api(*request, _request_timeout=limit)).response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise SourceError(Reason.UNAUTHORIZED, f"the Kubernetes API's certificate is not trusted: {error}") from None
        except TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"the Kubernetes API did not answer GET {path}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error) from None
        if reply.status == 200:
            return reply
        status = reply.status
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            await reply.read()  # to its end, so that the connection is kept and not left half closed
        reply.close()
        if status == 410:
            raise Gone
        if status == 404:
            raise NotServed
        if status in (401, 403):
            raise SourceError(Reason.UNAUTHORIZED, f"the Kubernetes API answers {status} to GET {path}")
        raise SourceError(Reason.UNREACHABLE, f"the Kubernetes API answers {status} to GET {path}")

    async def _connected(self) -> ApiClient:
        if self._client is None:
            from kubernetes.aio import client, config

            settings = client.Configuration()
            try:
                if self._kubeconfig is not None:
                    self._kubeconfig.open().close()  # the client prints what it does not find, and tells something else
                    await config.load_kube_config(
                        str(self._kubeconfig),
                        context=self._context or None,
                        client_configuration=settings,
                        persist_config=False,  # nothing is ever written, a refreshed token neither
                    )
                else:
                    config.load_incluster_config(client_configuration=settings)
            except (config.ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
                place = self._kubeconfig or "the pod's service account"
                raise SourceError(Reason.CONFIG, f"no Kubernetes credentials from {place}: {error}") from None
            self._client = client.ApiClient(settings)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _failure(error: Exception) -> SourceError:
    import aiohttp

    malformed = isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError)
    reason = Reason.MALFORMED if malformed and not isinstance(error, aiohttp.ServerDisconnectedError) else Reason.UNREACHABLE
    return SourceError(reason, f"the Kubernetes API: {error}")


class Watch:
    """Keeps one scope of one kind (`path`, all namespaces or one, or what a label selector picks) in an ObjectStore.

    `fallbacks` are paths of the same kind under older versions of its API, in the order in which they are tried if `path`
    is not served.
    """

    def __init__(
        self,
        cluster: Cluster,
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
        """Whether the server knows the kind; None until it was asked."""
        self.problem: SourceError | None = SourceError(Reason.TIMEOUT, f"the first list of {path} is not complete")
        """Why what the store holds may be old or incomplete; None while it is current."""
        self.lists = 0

    @property
    def path(self) -> str:
        """The path that is watched now."""
        return self._path

    async def wait_synced(self) -> None:
        """Returns when the first list is complete, or it is known why there is none."""
        await self._settled.wait()

    async def run(self) -> None:
        """Follow for ever."""
        version, pause = "", _FIRST_PAUSE
        while True:
            try:
                if not version:
                    version = await self._list()
                async for reached in self._events(version):
                    version, self.problem, pause = reached, None, _FIRST_PAUSE
                continue
            except Gone:
                version = ""
                continue
            except NotServed:
                version = ""
                self._path = self._paths[(self._paths.index(self._path) + 1) % len(self._paths)]
                if self._path != self._paths[0]:
                    continue
                self._store.clear(self._scope)
                self.served, self.problem = False, None
                self._settled.set()
                await asyncio.sleep(_ABSENT_SECONDS)
                continue
            except SourceError as error:
                self.problem = error
            except TimeoutError:
                self.problem = SourceError(Reason.TIMEOUT, f"the Kubernetes API stopped answering a watch of {self._path}")
            except (OSError, EOFError, msgspec.DecodeError, msgspec.ValidationError) as error:
                self.problem = SourceError(Reason.MALFORMED, f"the Kubernetes API's reply for {self._path}: {error}")
                version = ""
            self._settled.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _list(self) -> str:
        """Replace what the store has and return the version to watch from."""
        rows: dict[tuple[str, str], Any] = {}
        token = ""
        while True:
            query = {"limit": str(LIST_PAGE)} | self._selected | ({"continue": token} if token else {})
            body = await self._read(query)
            # Decoding and rendering take a few milliseconds a page; between pages other work goes on.
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
        import aiohttp

        reply = await self._cluster.get(self._path, query)
        try:
            return await reply.read()
        except TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"the Kubernetes API did not finish its list of {self._path}") from None
        except aiohttp.ClientError as error:
            raise _failure(error) from None
        finally:
            _leave(reply)

    async def _events(self, version: str) -> AsyncIterator[str]:
        """Apply a watch's events until the server ends it; gives the version to go on from after each."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        } | self._selected
        reply = await self._cluster.get(self._path, query, silence=WATCH_SECONDS + _GRACE_SECONDS)
        try:
            yield version
            async for line in _lines(reply):
                event = msgspec.json.decode(line, type=_Event)
                about = msgspec.json.decode(event.object, type=_Versioned)
                if event.type == "ERROR":
                    if about.code == 410:
                        raise Gone
                    raise SourceError(Reason.UNREACHABLE, f"the Kubernetes API ended a watch of {self._path} ({about.code})")
                if event.type != "BOOKMARK":
                    self._store.change(self._scope, event.type, event.object)
                yield about.metadata.resourceVersion or version
        finally:
            _leave(reply)


def _leave(reply: aiohttp.ClientResponse) -> None:
    """Be done with a reply; one that is left in the middle has its connection cut, since TLS would wait for a goodbye."""
    connection = reply.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    reply.close()


async def _lines(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length: aiohttp's own reader refuses long ones, and an object may be a megabyte."""
    import aiohttp

    rest = b""
    with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ClientConnectionError):  # the watch ended; it is resumed
        async for chunk in reply.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield line
