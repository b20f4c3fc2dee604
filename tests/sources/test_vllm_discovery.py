"""vLLM servers found as the endpoints of a Service, on a real Kubernetes API server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from exporter.config.options import Address
from exporter.scrape import Scraper
from exporter.settings import SettingsError, load
from exporter.sources.vllm import Vllm, VllmDiscovery, VllmOptions
from exporter.sources.vllm.discovery import EndpointSlice, addresses
from servers.kubernetes import Kubernetes
from tests.sources.vllm_pages import CURRENT
from tests.support.pages import eventually, followed, series

PATH = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def endpoint_slice(name: str, *hosts: str, ready: bool = True, service: str = "vllm-server") -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": ready}} for host in hosts],
        "ports": [{"name": "http", "port": 8000}],
    }


async def test_endpoints_are_added_and_removed(kubernetes_server: Kubernetes) -> None:
    options = VllmOptions(
        url=(Address("http://fixed:8000"),), service=("default/vllm-server",), kubeconfig=kubernetes_server.kubeconfig
    )
    source = Vllm(options)
    following = asyncio.create_task(source.run())

    async def has(*servers: str) -> None:
        async def now() -> bool:
            return {target.server for target in source.targets()} == {
                "fixed:8000",
                "service default/vllm-server",
                *servers,
            }

        await eventually(now)

    await source.wait_synced()
    [discovery] = [target for target in source.targets() if isinstance(target, VllmDiscovery)]
    assert series(discovery.samples(await discovery.collect())) == {
        'vllm_discovered_servers{service="default/vllm-server"}': 0
    }
    kubernetes_server.create(PATH, endpoint_slice("vllm-a", "10.0.0.1", "10.0.0.2"))
    kubernetes_server.create(PATH, endpoint_slice("vllm-b", "10.0.0.3", ready=False))
    kubernetes_server.create(PATH, endpoint_slice("other", "10.0.0.9", service="other"))
    await has("10.0.0.1:8000", "10.0.0.2:8000")
    readers = {target.server: target for target in source.targets()}
    assert {target.server: target for target in source.targets()} == readers  # the same objects: they hold connections
    kubernetes_server.request("DELETE", f"{PATH}/vllm-a")
    await has()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


@asynccontextmanager
async def keeping_connections(connections: set[asyncio.StreamWriter]) -> AsyncIterator[int]:
    """The port of a vLLM server with persistent connections; `connections` are the open ones."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        body = CURRENT.encode()
        try:
            while await reader.readline():
                while (await reader.readline()).strip():
                    pass
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        finally:
            connections.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_server_that_left_is_closed_and_its_series_are_gone(
    kubernetes_server: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolved(host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host in ("vllm.example", b"vllm.example") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)  # the API server refuses loopback addresses
    connections: set[asyncio.StreamWriter] = set()
    source = Vllm(VllmOptions(service=("default/leaving",), kubeconfig=kubernetes_server.kubeconfig))
    scraper = Scraper([source])
    async with keeping_connections(connections) as port, followed(source):
        part = endpoint_slice("leaving-a", "vllm.example", service="leaving")
        part |= {"addressType": "FQDN", "ports": [{"name": "http", "port": port}]}
        kubernetes_server.create(PATH, part)
        server = f'server="vllm.example:{port}"'

        async def scraped() -> bool:
            page = series(await scraper.read(5.0))
            return page.get(f'fleet_exporter_source_up{{source="vllm",{server}}}') == 1

        await eventually(scraped)
        assert len(connections) == 1
        kubernetes_server.request("DELETE", f"{PATH}/leaving-a")

        async def gone() -> bool:
            return not any(server in name for name in series(await scraper.read(5.0))) and not connections

        await eventually(gone)
    await scraper.close()


@pytest.mark.parametrize("service", ["vllm-server", "/x", "default/", "default/:8000"])
def test_an_incomplete_service_name_is_rejected(service: str) -> None:
    with pytest.raises(SettingsError, match="expected namespace/name or namespace/name:port"):
        load({"vllm.service": service}, {})


@pytest.mark.parametrize(
    ("port", "expected"),
    [("", ("http://a:8000",)), ("http", ("http://a:8000",)), ("9000", ("http://a:9000",)), ("grpc", ())],
)
def test_the_port_is_a_number_a_name_or_the_first(port: str, expected: tuple[str, ...]) -> None:
    part = msgspec.convert(endpoint_slice("x", "a"), EndpointSlice)

    assert addresses(part, port) == expected
