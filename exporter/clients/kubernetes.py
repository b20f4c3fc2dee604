"""Requests to a Kubernetes API server, and what its errors mean."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from exporter.errors import Reason, SourceError, network_cause

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio.client import ApiClient


_TOTAL_FACTOR = 2.0
"""A page of a list may take this many times the timeout."""


class Gone(Exception):
    """410: the resourceVersion is too old."""


class NotServed(Exception):
    """404: the resource is not served."""


class TooLarge(SourceError):
    """A response exceeds its limit."""


def location(kubeconfig: Path | None, context: str) -> str:
    """Display name of the cluster."""
    if kubeconfig is None:
        return "Kubernetes API (in cluster)"
    return f"Kubernetes API ({context or kubeconfig.name})"


class ApiServer:
    """One API server, with credentials from a kubeconfig or the pod's service account. Connects on first use."""

    def __init__(self, kubeconfig: Path | None, *, context: str = "", timeout: float) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout = timeout
        self._client: ApiClient | None = None

    async def get(self, path: str, query: Mapping[str, str], *, total: float | None = None) -> aiohttp.ClientResponse:
        """An open response with status 200; the caller releases it.

        The headers come within the timeout, the body within `total` seconds, by default twice the timeout; reading it then
        raises TimeoutError. Raises Gone, NotServed or SourceError.
        """
        import aiohttp

        client = await self._connected()
        limit = aiohttp.ClientTimeout(total=total or _TOTAL_FACTOR * self._timeout, sock_connect=self._timeout)
        try:
            request = await client.param_serialize(
                "GET", path, query_params=list(query.items()), auth_settings=["BearerToken"]
            )
            async with asyncio.timeout(self._timeout):
                result = await client.call_api(*request, _request_timeout=limit)
            response = cast("aiohttp.ClientResponse", result.response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise SourceError(Reason.UNAUTHORIZED, f"Kubernetes API: certificate is not trusted: {error}") from None
        except TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"Kubernetes API: GET {path} timed out") from None
        except (aiohttp.ClientError, OSError) as error:
            raise request_failure(error) from None
        if response.status == 200:
            return response
        status = response.status
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            await response.read()  # read to the end, so that the connection can be reused
        response.close()
        if status == 410:
            raise Gone
        if status == 404:
            raise NotServed
        if status in (401, 403):
            raise SourceError(Reason.UNAUTHORIZED, f"Kubernetes API: GET {path} returned {status}")
        raise SourceError(Reason.UNREACHABLE, f"Kubernetes API: GET {path} returned {status}")

    async def read(self, path: str, query: Mapping[str, str] | None = None, *, limit: int) -> bytes:
        """The body of a response. Raises Gone, NotServed, TooLarge for more than `limit` bytes, or another SourceError."""
        import aiohttp

        response = await self.get(path, query or {})
        try:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise TooLarge(Reason.MALFORMED, f"Kubernetes API: GET {path}: expected at most {limit} bytes, got more")
            return bytes(body)
        except TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"Kubernetes API: GET {path} timed out") from None
        except (aiohttp.ClientError, OSError) as error:
            raise request_failure(error) from None
        finally:
            release(response)

    async def _connected(self) -> ApiClient:
        if self._client is None:
            from kubernetes.aio import client, config

            settings = client.Configuration(connection_pool_maxsize=0)  # no limit: each watch holds a connection
            try:
                if self._kubeconfig is not None:
                    self._kubeconfig.open().close()  # the client prints a misleading message
                    await config.load_kube_config(
                        str(self._kubeconfig),
                        context=self._context or None,
                        client_configuration=settings,
                        persist_config=False,  # do not write refreshed tokens to the kubeconfig
                    )
                else:
                    config.load_incluster_config(client_configuration=settings)
            except (config.ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
                place = self._kubeconfig or "the pod's service account"
                raise SourceError(Reason.CONFIG, f"Kubernetes credentials from {place}: {error}") from None
            self._client = client.ApiClient(settings)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def release(response: aiohttp.ClientResponse) -> None:
    """Release a response; an unfinished one is aborted, because TLS would wait for close_notify."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def request_failure(error: Exception) -> SourceError:
    import aiohttp

    malformed = isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError)
    reason = Reason.MALFORMED if malformed and not isinstance(error, aiohttp.ServerDisconnectedError) else Reason.UNREACHABLE
    return SourceError(reason, f"Kubernetes API: {network_cause(error)}")
