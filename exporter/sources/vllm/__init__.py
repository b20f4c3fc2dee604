"""vLLM servers: each one's /metrics page, at most `max_bytes` of it, under one stable name per concept.

Servers are listed, or found as the endpoints of Kubernetes Services; each is read and judged alone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from annotated_types import Gt
from pydantic import AfterValidator, PrivateAttr, SecretStr

from exporter.config.address import Address, VllmAddresses
from exporter.config.options import Names, Secret, option
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import LegacySource
from exporter.sources.vllm import page
from exporter.sources.vllm.discovery import DISCOVERED, Discovery

if TYPE_CHECKING:
    import httpx

_AT_ONCE_BYTES = 256 * 1024  # what is parsed in the event loop; more goes to a thread, so that other sources go on


def _whole_names(services: tuple[str, ...]) -> tuple[str, ...]:
    for service in services:
        namespace, _, name = service.partition("/")
        if not namespace or not name.partition(":")[0]:
            raise ValueError(f"expected namespace/name or namespace/name:port, got {service!r}")
    return services


class Vllm(LegacySource):
    """Any number of vLLM servers, of any version since 0.6, standalone or in Ray Serve."""

    kind: ClassVar[str] = "vllm"
    metrics: ClassVar[tuple[Metric, ...]] = (*page.METRICS, DISCOVERED)

    url: Annotated[
        VllmAddresses,
        option("host:port, http:// or https:// addresses; /metrics is added if the address has no path.", env="VLLM_URL"),
    ] = ()
    token: Annotated[Secret, option("Bearer token, if a proxy in front of the server requires one.")] = SecretStr("")
    ca_file: Annotated[Path | None, option("CA certificate that signed the servers', for https.")] = None
    service: Annotated[
        Names,
        AfterValidator(_whole_names),
        option("Kubernetes Services whose endpoints are vLLM servers, as namespace/name or namespace/name:port."),
    ] = ()
    kubeconfig: Annotated[
        Path | None, option("kubeconfig file for endpoint discovery; default: the pod's service account.")
    ] = None
    max_bytes: Annotated[int, Gt(0), option("Maximum bytes of a server's metrics page.")] = 8 * 1024 * 1024

    _readers: dict[str, Self] = PrivateAttr(default_factory=dict)
    _discovery: Discovery | None = PrivateAttr(None)
    _discovering: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)
    _client: httpx.AsyncClient | None = PrivateAttr(None)

    @property
    def enabled(self) -> bool:
        return bool(self.url or self.service)

    @property
    def server(self) -> str:
        if self.service:
            return f"service {','.join(self.service)}"
        return self.url[0].server if self.url else ""

    def targets(self) -> tuple[Self, ...]:
        """One reader for each server, and this source itself for the finding of servers, where that is asked for."""
        found = [*self.url, *map(Address, self._discovery.addresses if self._discovery else ())]
        by_server = {address.server: address for address in reversed(found)}  # a listed one goes before one that was found
        self._readers = {name: self._readers.get(name) or self._reader(address) for name, address in by_server.items()}
        return (*self._readers.values(), *((self,) if self.service else ()))

    def _reader(self, address: Address) -> Self:
        reader = self.model_copy(update={"url": (address,), "service": ()})
        reader._discovery = None
        return reader

    async def run(self) -> None:
        if self.service:
            self._discovery = Discovery(self.service, self.kubeconfig, timeout=self.timeout)
            self._discovering.set()
            await self._discovery.run()

    async def wait_synced(self) -> None:
        if self.service:
            await self._discovering.wait()
        if self._discovery is not None:
            await self._discovery.wait_synced()

    async def collect(self) -> Iterable[Sample]:
        if self.service:
            if self._discovery is None:
                raise SourceError(Reason.TIMEOUT, "the endpoints are not listed yet")
            return [DISCOVERED(count, service=name) for name, count in self._discovery.counts().items()]
        return await self._read()

    async def _read(self) -> Iterable[Sample]:
        import httpx

        try:
            text = await self._page()
        except httpx.TimeoutException:
            raise SourceError(Reason.TIMEOUT, f"vLLM at {self.server} did not answer in time") from None
        except (httpx.DecodingError, httpx.RemoteProtocolError) as error:
            raise SourceError(Reason.MALFORMED, f"vLLM at {self.server}: expected HTTP, got {error}") from None
        except httpx.InvalidURL as error:
            raise SourceError(Reason.CONFIG, f"vLLM at {self.server}: {error}") from None
        except httpx.HTTPError as error:
            raise SourceError(Reason.UNREACHABLE, f"vLLM at {self.server}: {error}") from None
        try:
            if len(text) > _AT_ONCE_BYTES:
                return await asyncio.to_thread(lambda: list(page.samples(page.parsed(text), self.server)))
            return list(page.samples(page.parsed(text), self.server))
        except SourceError as error:
            raise SourceError(error.reason, f"vLLM at {self.server}: {error}") from None

    async def _page(self) -> str:
        async with self._connected().stream("GET", self.url[0].with_default_path("/metrics")) as reply:
            if reply.status_code in (401, 403):
                raise SourceError(Reason.UNAUTHORIZED, f"vLLM at {self.server} answers {reply.status_code}")
            if reply.status_code != 200:
                raise SourceError(Reason.MALFORMED, f"vLLM at {self.server} answers {reply.status_code}")
            parts, size = [], 0
            async for part in reply.aiter_bytes():
                size += len(part)
                if size > self.max_bytes:
                    raise SourceError(
                        Reason.MALFORMED,
                        f"vLLM at {self.server}: expected at most {self.max_bytes} bytes of metrics, got more",
                    )
                parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            token = self.token.get_secret_value()
            self._client = httpx.AsyncClient(
                headers={"authorization": f"Bearer {token}"} if token else {},
                timeout=self.timeout,
                verify=self._tls() if self.url[0].get_secret_value().startswith("https:") else False,
                trust_env=False,
            )
        return self._client

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise SourceError(Reason.CONFIG, f"vllm.ca_file {self.ca_file} cannot be used: {error}") from None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
