"""Services whose addresses, packages or roles change, and names that take long to resolve."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from exporter.errors import Reason
from exporter.sources.services import Services, ServicesOptions, health_pb2, orchestrator_pb2, ray_executor_pb2
from tests.sources.test_services import answering, health, orchestrator
from tests.support.pages import eventually, page_now

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What every name resolves to."""
    found: list[str] = []

    def resolved(_: str, port: int, *__: Any, **___: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return found


def connections_to(address: str, port: int) -> int:
    """Open connections to an IPv4 address, from Linux's tables of this network namespace."""
    remote = f"{socket.inet_aton(address)[::-1].hex().upper()}:{port:04X}"
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6")]  # gRPC uses IPv6 sockets for IPv4 too
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return sum(row[2].endswith(remote) and row[3] == "01" for row in rows)


async def test_the_connection_to_an_address_that_left_is_closed_and_others_stay(addresses: list[str]) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((health(SERVING),))
    port = server.add_insecure_port("0.0.0.0:0")
    other = server.add_insecure_port("0.0.0.0:0")
    await server.start()
    source = Services(ServicesOptions.model_validate({"grpc": {"a": f"fleet:{port}", "b": f"fleet:{other}"}, "deadline": 5}))
    try:
        addresses[:] = ["127.0.0.2", "127.0.0.3"]
        page = await page_now(source)
        assert page[f'fleet_service_up{{service="a",address="127.0.0.2:{port}"}}'] == 1
        assert page['fleet_service_instances{service="a"}'] == 2
        assert connections_to("127.0.0.2", port) == connections_to("127.0.0.3", port) == 1

        addresses[:] = ["127.0.0.3"]
        await page_now(source)

        async def closed() -> bool:
            return connections_to("127.0.0.2", port) == 0

        await eventually(closed)
        assert connections_to("127.0.0.3", port) == connections_to("127.0.0.3", other) == 1
    finally:
        await source.close()
        await server.stop(0)


async def test_a_name_that_takes_long_to_resolve_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    def resolved(*_: Any, **__: Any) -> list[Any]:
        ended.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    try:
        page = await page_now(Services(ServicesOptions.model_validate({"grpc": {"a": "fleet:1"}, "deadline": 0.1})))
    finally:
        ended.set()  # asyncio waits for the thread

    assert page[f'fleet_service_failure{{service="a",address="",reason="{Reason.TIMEOUT}"}}'] == 1
    assert 'fleet_service_instances{service="a"}' not in page
    assert [vars(record)["error"] for record in caplog.records] == ["fleet:1: DNS lookup timed out"]


@pytest.mark.parametrize(
    ("error", "instances"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 0),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), 0),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), None),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"), None),
    ],
    ids=lambda value: str(getattr(value, "strerror", "")),
)
async def test_a_lookup_that_failed_is_no_data_and_an_unknown_name_has_no_instances(
    monkeypatch: pytest.MonkeyPatch, error: OSError, instances: int | None
) -> None:
    def resolved(*_: Any, **__: Any) -> list[Any]:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    page = await page_now(Services(ServicesOptions.model_validate({"grpc": {"a": "fleet:1"}})))

    assert page['fleet_service_up{service="a",address=""}'] == 0
    assert page[f'fleet_service_failure{{service="a",address="",reason="{Reason.UNREACHABLE}"}}'] == 1
    assert page.get('fleet_service_instances{service="a"}') == instances


async def test_an_orchestrator_that_changes_to_the_other_package_is_read(addresses: list[str]) -> None:
    addresses[:] = ["127.0.0.1"]
    older, newer = orchestrator("orchestrator.v1"), orchestrator("fleet.orchestrator.v1")
    served = [older]

    class Current(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            return served[0].service(details)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Current(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    source = Services(ServicesOptions.model_validate({"grpc": {"orchestrator": f"fleet:{port}"}, "deadline": 5}))
    total = f'fleet_service_deliberations_total{{service="orchestrator",address="127.0.0.1:{port}",outcome="all"}}'
    try:
        assert (await page_now(source))[total] == 7
        served[:] = [newer]
        assert (await page_now(source)).get(total) == 7
    finally:
        await source.close()
        await server.stop(0)


async def test_roles_have_the_names_that_all_sources_use(addresses: list[str]) -> None:
    addresses[:] = ["127.0.0.1"]
    response = orchestrator_pb2.ListCouncilsResponse
    agents = [response.Agent(agent_id=name, role=role) for name, role in (("a", "developer"), ("b", "DEV"), ("c", ""))]
    councils = response(councils=[response.Council(council_id="x", agents=agents)])
    jobs = [ray_executor_pb2.GetActiveJobsResponse.Job(job_id=role, role=role) for role in ("tester", "qa", "")]
    server = grpc.aio.server()
    methods = {
        "fleet.orchestrator.v1.OrchestratorService": {
            "GetStatus": (orchestrator_pb2.GetStatusRequest, lambda _: orchestrator_pb2.GetStatusResponse()),
            "ListCouncils": (orchestrator_pb2.ListCouncilsRequest, lambda _: councils),
        },
        "fleet.ray_executor.v1.RayExecutorService": {
            "GetStatus": (ray_executor_pb2.GetStatusRequest, lambda _: ray_executor_pb2.GetStatusResponse()),
            "GetActiveJobs": (
                ray_executor_pb2.GetActiveJobsRequest,
                lambda _: ray_executor_pb2.GetActiveJobsResponse(jobs=jobs),
            ),
        },
    }
    server.add_generic_rpc_handlers([answering(service, named) for service, named in methods.items()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    services = {"orchestrator": f"fleet:{port}", "ray-executor": f"fleet:{port}"}
    source = Services(ServicesOptions.model_validate({"grpc": services, "deadline": 5}))
    try:
        page = await page_now(source)
    finally:
        await source.close()
        await server.stop(0)

    def by_role(name: str) -> dict[str, float]:
        return {key.split('role="')[1].rstrip('"}'): value for key, value in page.items() if key.startswith(name)}

    assert by_role("fleet_orchestrator_agents") == {"DEV": 2, "unknown": 1}
    assert by_role("fleet_ray_executor_active_jobs") == {"QA": 2, "unknown": 1}
