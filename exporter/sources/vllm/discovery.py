"""The ready endpoints of Kubernetes Services, watched through their EndpointSlices."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from exporter.clients.kubernetes import ApiServer
from exporter.clients.kubernetes_watch import Watch
from exporter.metrics.metric import gauge

DISCOVERED = gauge("vllm_discovered_servers", "Ready endpoints of a Kubernetes Service (EndpointSlice).", "service")


class _SliceMetadata(msgspec.Struct, frozen=True):
    name: str = ""


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: list[str] = msgspec.field(default_factory=list)
    conditions: _Conditions = _Conditions()


class _Port(msgspec.Struct, frozen=True):
    name: str | None = None
    port: int | None = None


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _SliceMetadata = _SliceMetadata()
    address_type: str = "IPv4"
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


def addresses(part: EndpointSlice, port: str) -> tuple[str, ...]:
    """http:// addresses of a slice's ready endpoints; `port` is a number, a port's name, or empty for the first one."""
    named = [each.port for each in part.ports or () if each.port and port in ("", each.name, str(each.port))]
    number = int(port) if port.isdecimal() else next(iter(named), None)
    if number is None:
        return ()
    hosts = [
        f"[{address}]" if part.address_type == "IPv6" else address
        for endpoint in part.endpoints or ()
        if endpoint.conditions.ready is not False  # Kubernetes defines null as ready
        for address in endpoint.addresses
    ]
    return tuple(f"http://{host}:{number}" for host in hosts)


class Endpoints:
    """An ObjectStore of one Service's EndpointSlices."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._slices: dict[tuple[str, str], tuple[str, ...]] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(address for part in self._slices.values() for address in part))

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[tuple[str, str], tuple[str, ...]]:
        parts = [msgspec.json.decode(raw, type=EndpointSlice) for raw in objects]
        return {(scope, part.metadata.name): addresses(part, self._port) for part in parts}

    def replace(self, scope: str, rows: dict[tuple[str, str], tuple[str, ...]]) -> None:  # noqa: ARG002 - there is one only
        self._slices = rows

    def clear(self, scope: str) -> None:
        self.replace(scope, {})

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        self._slices |= self.rows(scope, [raw])
        if kind == "DELETED":
            part = msgspec.json.decode(raw, type=EndpointSlice)
            self._slices.pop((scope, part.metadata.name), None)


class Discovery:
    """Watches every configured Service: namespace/name or namespace/name:port."""

    def __init__(self, services: Sequence[str], kubeconfig: Path | None, *, timeout: float) -> None:
        self._cluster = ApiServer(kubeconfig, timeout=timeout)
        self._watches: dict[str, tuple[Endpoints, Watch]] = {}
        for service in services:
            namespace, _, rest = service.partition("/")
            name, _, port = rest.partition(":")
            endpoints = Endpoints(port)
            path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
            watch = Watch(self._cluster, path, endpoints, selector=f"kubernetes.io/service-name={name}")
            self._watches[service] = (endpoints, watch)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _, watch in self._watches.values():
                    group.create_task(watch.run())
        finally:
            await self._cluster.close()

    async def wait_synced(self) -> None:
        for _, watch in self._watches.values():
            await watch.wait_synced()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every known server, also while the Kubernetes API is unreachable, since the servers may be up."""
        return tuple(address for endpoints, _ in self._watches.values() for address in endpoints.addresses)

    def counts(self) -> dict[str, int]:
        """Servers by Service. Raises SourceError if the endpoints may be out of date."""
        for _, watch in self._watches.values():
            if watch.problem is not None:
                raise watch.problem.again()
        return {service: len(endpoints.addresses) for service, (endpoints, _) in self._watches.items()}
