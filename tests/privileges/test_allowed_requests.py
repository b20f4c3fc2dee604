"""Loki, vLLM, HTTP and gRPC services behind a gateway that allows only the documented requests."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from demo.scenario.fleet import ROLES
from demo.scenario.services import SimulatedServices
from exporter.config.options import Address
from exporter.sources.loki import LokiForwarder, LokiOptions
from exporter.sources.services import Services, ServicesOptions
from exporter.sources.vllm import Vllm, VllmOptions
from servers import loki as loki_servers
from servers import nats as nats_servers
from servers import vllm as vllm_servers
from servers.process import wait_for
from tests.privileges.documented import block, lines
from tests.privileges.event_streams import following, is_denied
from tests.privileges.gateway import gateway
from tests.privileges.nats_account import configuration, of, options, refused, with_loki
from tests.support.fleet_streams import fleet_on
from tests.support.pages import collected, listener, series
from tests.support.servers import required

ENTRIES = 'fleet_exporter_loki_entries_total{stream="PLANNING_EVENTS"}'


async def test_events_reach_loki_by_the_documented_requests_and_the_documented_subjects() -> None:
    with required():
        loki_servers.prepare()
    permissions = with_loki(block("nats-events"))
    with (
        loki_servers.start() as loki,
        nats_servers.start(config=configuration({"events": permissions})) as server,
        gateway(loki.url, lines("http-loki")) as before_loki,
    ):
        wait_for(loki.answers_queries, what="Loki to answer queries")
        given = {
            "nats_url": (Address(server.url),),
            "url": Address(before_loki.url),
            **{f"nats_{name}": value for name, value in options("events").items()},
        }
        async with following(LokiForwarder(LokiOptions.model_validate(given))) as shows:
            await shows("fleet_exporter_loki_retries_total", 0)  # while there is no stream to be copied
        async with (
            fleet_on(of(server, "fleet")) as fleet,
            following(LokiForwarder(LokiOptions.model_validate(given))) as shows,
        ):
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            await fleet.says("planning.story.created", story_id="US-1")
            await shows(ENTRIES, 1)
        assert refused(server, "events") == []

    assert (before_loki.passed, before_loki.refused) == (set(lines("http-loki")), set())


def _empty(connection: socket.socket) -> None:
    """An empty Loki, for the requests of these tests."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    connection.shutdown(socket.SHUT_RDWR)


async def test_without_its_subject_copying_is_unauthorized() -> None:
    with (
        nats_servers.start(config=configuration({"events": block("nats-events")})) as server,
        listener(_empty) as loki,
    ):
        given = {
            "nats_url": (Address(server.url),),
            "url": Address(f"http://127.0.0.1:{loki}"),
            **{f"nats_{name}": value for name, value in options("events").items()},
        }
        forwarder = LokiForwarder(LokiOptions.model_validate(given))
        async with fleet_on(of(server, "fleet")) as fleet, following(forwarder):
            await fleet.stream("PLANNING_EVENTS", "planning.>")
            await is_denied(forwarder)


async def test_a_vllm_server_receives_only_get_metrics() -> None:
    with vllm_servers.start() as engine, gateway(engine.url, lines("http-vllm")) as before:
        page = await collected(Vllm(VllmOptions(url=(Address(before.url),))))

    assert page
    assert (before.passed, before.refused) == (set(lines("http-vllm")), set())


async def test_an_http_service_receives_only_get_of_its_url() -> None:
    with vllm_servers.start() as engine, gateway(engine.url, ["GET /metrics"]) as before:
        up = await collected(Services(ServicesOptions.model_validate({"http": {"ray-serve": f"{before.url}/metrics"}})))

    assert [value for name, value in up.items() if name.startswith("fleet_service_up")] == [1]
    assert (before.passed, before.refused) == ({"GET /metrics"}, set())


class _OnlyListed(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets the documented methods pass and denies all others."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.refused: set[str] = set()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        if details.method in lines("grpc-services"):
            self.passed.add(details.method)
            return await continuation(details)
        self.refused.add(details.method)

        async def denied(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not on the list")

        return grpc.unary_unary_rpc_method_handler(denied)


async def test_grpc_services_receive_only_the_documented_methods() -> None:
    async def main() -> tuple[dict[str, float], _OnlyListed]:
        listed = _OnlyListed()
        server = grpc.aio.server(interceptors=[listed])
        server.add_generic_rpc_handlers(SimulatedServices().handlers())
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        services = {"orchestrator": address, "ray-executor": address, "planning": address}
        source = Services(ServicesOptions.model_validate({"grpc": services}))
        try:
            return series(source.samples(await source.collect())), listed
        finally:
            await source.close()
            await server.stop(0)

    page, listed = await main()

    up = [value for name, value in page.items() if name.startswith("fleet_service_up")]
    assert up == [1, 1, 1]
    assert len([name for name in page if name.startswith("fleet_orchestrator_agents")]) == len(ROLES)
    assert (listed.passed, listed.refused) == (set(lines("grpc-services")), set())
