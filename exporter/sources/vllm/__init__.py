"""vLLM servers: each one's /metrics page, at most `max_bytes` of it, under version-independent metric names.

Servers are listed, or discovered as the endpoints of Kubernetes Services; each is collected and reported separately.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from exporter.clients.http_errors import failure_of_http
from exporter.clients.tls import client_context
from exporter.config.address import Address
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.vllm import VllmOptions as VllmOptions
from exporter.sources.vllm import page
from exporter.sources.vllm.discovery import DISCOVERED, Discovery
from exporter.sources.vllm.page import VllmSnapshot

if TYPE_CHECKING:
    import httpx

_INLINE_BYTES = 256 * 1024  # a larger page is parsed in a thread, to keep the event loop free


class VllmServer(Target[VllmSnapshot]):
    """One vLLM server and the connection to it."""

    kind: ClassVar[str] = "vllm"
    metrics: ClassVar[tuple[Metric, ...]] = page.METRICS

    def __init__(self, options: VllmOptions, address: Address) -> None:
        self.timeout = options.timeout
        self.max_series = options.max_series
        self._options = options
        self._address = address
        self._client: httpx.AsyncClient | None = None

    @property
    def server(self) -> str:
        return self._address.server

    async def collect(self) -> VllmSnapshot:
        import httpx

        try:
            text = await self._page()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise failure_of_http(f"vLLM at {self.server}", error) from None
        try:
            if len(text) > _INLINE_BYTES:
                return await asyncio.to_thread(page.snapshot, text, self.server)
            return page.snapshot(text, self.server)
        except SourceError as error:
            raise SourceError(error.reason, f"vLLM at {self.server}: {error}") from None

    async def _page(self) -> str:
        limit = self._options.max_bytes
        async with self._connected().stream("GET", self._address.with_default_path("/metrics")) as response:
            if response.status_code in (401, 403):
                raise SourceError(Reason.UNAUTHORIZED, f"vLLM at {self.server} returned {response.status_code}")
            if response.status_code != 200:
                raise SourceError(Reason.MALFORMED, f"vLLM at {self.server} returned {response.status_code}")
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > limit:
                    raise SourceError(
                        Reason.MALFORMED, f"vLLM at {self.server}: expected at most {limit} bytes of metrics, got more"
                    )
                parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            token = self._options.token.get_secret_value()
            self._client = httpx.AsyncClient(
                headers={"authorization": f"Bearer {token}"} if token else {},
                timeout=self.timeout,
                verify=client_context("vllm.", self._options.ca_file) if self._address.scheme == "https" else False,
                trust_env=False,
            )
        return self._client

    def samples(self, snapshot: VllmSnapshot) -> Iterable[Sample]:
        return page.samples(snapshot)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class VllmDiscovery(Target[dict[str, int]]):
    """The number of servers that each Kubernetes Service has."""

    kind: ClassVar[str] = VllmServer.kind
    metrics: ClassVar[tuple[Metric, ...]] = (DISCOVERED,)

    def __init__(self, options: VllmOptions, discovery: Discovery) -> None:
        self.timeout = options.timeout
        self.max_series = options.max_series
        self._services = options.service
        self._discovery = discovery

    @property
    def server(self) -> str:
        return f"service {','.join(self._services)}"

    async def collect(self) -> dict[str, int]:
        return self._discovery.counts()

    def samples(self, snapshot: dict[str, int]) -> Iterable[Sample]:
        return [DISCOVERED(count, service=name) for name, count in snapshot.items()]


class Vllm(Source):
    """Every configured or discovered server, each a separate target, and the discovery itself."""

    kind: ClassVar[str] = VllmServer.kind
    metrics: ClassVar[tuple[Metric, ...]] = (*VllmServer.metrics, *VllmDiscovery.metrics)

    def __init__(self, options: VllmOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._servers: dict[str, VllmServer] = {}
        self._discovery: Discovery | None = None
        self._discovery_target: tuple[VllmDiscovery, ...] = ()
        if options.service:
            self._discovery = Discovery(options.service, options.kubeconfig, timeout=options.timeout)
            self._discovery_target = (VllmDiscovery(options, self._discovery),)

    def targets(self) -> Sequence[VllmServer | VllmDiscovery]:
        found = [*self.options.url, *map(Address, self._discovery.addresses if self._discovery else ())]
        by_server = {address.server: address for address in reversed(found)}  # a configured address wins
        self._servers = {
            name: self._servers.get(name) or VllmServer(self.options, address) for name, address in by_server.items()
        }
        return (*self._servers.values(), *self._discovery_target)

    async def run(self) -> None:
        if self._discovery is not None:
            await self._discovery.run()

    async def wait_synced(self) -> None:
        if self._discovery is not None:
            await self._discovery.wait_synced()
