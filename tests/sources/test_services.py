"""Services over real sockets: a gRPC server of either package, one without health, one that hangs, and HTTP by URL."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from exporter.errors import Reason
from exporter.settings import SettingsError, load
from exporter.sources.services import Services, ServicesOptions, health_pb2, orchestrator_pb2, ray_executor_pb2
from exporter.sources.services.probe import Health
from servers import nats as nats_servers
from tests.support.pages import collected, eventually, listener, series
from tests.support.process import exporter

Handler = Callable[[Any], Any]


def answering(service: str, methods: dict[str, tuple[Any, Handler]]) -> grpc.GenericRpcHandler:
    """A service's methods: (request's message, request → response)."""

    def handler(request: Any, answer: Handler) -> grpc.RpcMethodHandler[Any, Any]:
        async def answered(message: Any, _: Any) -> Any:
            found = answer(message)
            return await found if asyncio.iscoroutine(found) else found

        return grpc.unary_unary_rpc_method_handler(
            answered,
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    return grpc.method_handlers_generic_handler(service, {name: handler(*method) for name, method in methods.items()})


@asynccontextmanager
async def serving(handlers: Sequence[grpc.GenericRpcHandler], certificates: Path | None = None) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(handlers))
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = ((certificates / "server.key").read_bytes(), (certificates / "server.crt").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def health(status: Any) -> grpc.GenericRpcHandler:
    response = health_pb2.HealthCheckResponse(status=status)
    return answering("grpc.health.v1.Health", {"Check": (health_pb2.HealthCheckRequest, lambda _: response)})


def orchestrator(package: str) -> grpc.GenericRpcHandler:
    stats = orchestrator_pb2.GetStatusResponse.Stats(
        total_deliberations=7, avg_deliberation_time_ms=1500, active_councils=1, role_counts={"DEV": 2}
    )
    status = orchestrator_pb2.GetStatusResponse(status="healthy", uptime_seconds=3600, stats=stats)
    agents = [
        orchestrator_pb2.ListCouncilsResponse.Agent(agent_id=f"agent-dev-{n}", role="DEV", status="ready") for n in (1, 2)
    ]
    council = orchestrator_pb2.ListCouncilsResponse.Council(council_id="council-dev", role="DEV", agents=agents, model="Q")

    def councils(request: Any) -> Any:
        assert request.include_agents, "the real server raises without"
        return orchestrator_pb2.ListCouncilsResponse(councils=[council])

    methods: dict[str, tuple[Any, Handler]] = {
        "GetStatus": (orchestrator_pb2.GetStatusRequest, lambda _: status),
        "ListCouncils": (orchestrator_pb2.ListCouncilsRequest, councils),
    }
    return answering(f"{package}.OrchestratorService", methods)


def ray_executor() -> grpc.GenericRpcHandler:
    stats = ray_executor_pb2.GetStatusResponse.Stats(
        active_deliberations=1, completed_deliberations=5, failed_deliberations=2, average_execution_time_ms=2500
    )
    status = ray_executor_pb2.GetStatusResponse(status="healthy", uptime_seconds=60, stats=stats)
    job = ray_executor_pb2.GetActiveJobsResponse.Job(
        job_id="deliberation-T-1", name="job", status="RUNNING", role="dev", task_id="T"
    )
    methods: dict[str, tuple[Any, Handler]] = {
        "GetStatus": (ray_executor_pb2.GetStatusRequest, lambda _: status),
        "GetActiveJobs": (
            ray_executor_pb2.GetActiveJobsRequest,
            lambda _: ray_executor_pb2.GetActiveJobsResponse(jobs=[job]),
        ),
    }
    return answering("fleet.ray_executor.v1.RayExecutorService", methods)


async def page(**options: Any) -> dict[str, float]:
    source = Services(ServicesOptions.model_validate({"deadline": 1, **options}))
    try:
        return series(source.samples(await source.collect()))
    finally:
        await source.close()


@pytest.mark.parametrize("package", ["fleet.orchestrator.v1", "orchestrator.v1"])
async def test_an_orchestrator_of_either_package_without_a_health_service(package: str) -> None:
    async with serving([orchestrator(package)]) as address:
        found = await page(grpc={"orchestrator": address})
        who = f'service="orchestrator",address="{address}"'
        assert found[f"fleet_service_up{{{who}}}"] == 1
        assert found[f'fleet_service_health{{{who},health="none"}}'] == 1
        assert found[f'fleet_service_deliberations_total{{{who},outcome="all"}}'] == 7
        assert found[f"fleet_service_deliberation_mean_seconds{{{who}}}"] == 1.5
        assert found[f"fleet_orchestrator_active_councils{{{who}}}"] == 1
        assert found[f'fleet_orchestrator_agents{{{who},role="DEV"}}'] == 2
        assert found[f"fleet_service_start_timestamp_seconds{{{who}}}"] == pytest.approx(time.time() - 3600, abs=60)


async def test_a_ray_executor_and_its_jobs() -> None:
    serving_now = health(health_pb2.HealthCheckResponse.SERVING)
    async with serving([serving_now, ray_executor()]) as address:
        found = await page(grpc={"ray-executor": address})
        who = f'service="ray-executor",address="{address}"'
        assert found[f'fleet_service_health{{{who},health="serving"}}'] == 1
        assert found[f'fleet_service_deliberations_total{{{who},outcome="failed"}}'] == 2
        assert found[f"fleet_service_active_deliberations{{{who}}}"] == 1
        assert found[f'fleet_ray_executor_active_jobs{{{who},role="DEV"}}'] == 1


async def test_a_service_that_is_not_serving_is_down() -> None:
    async with serving([health(health_pb2.HealthCheckResponse.NOT_SERVING)]) as address:
        found = await page(grpc={"context": address})
        who = f'service="context",address="{address}"'
        assert found[f"fleet_service_up{{{who}}}"] == 0
        assert found[f'fleet_service_health{{{who},health="{Health.NOT_SERVING}"}}'] == 1


async def test_a_failed_address_does_not_affect_the_others() -> None:
    async def hang(_: Any) -> Any:
        await asyncio.Event().wait()

    async def deny(_: Any) -> Any:
        raise PermissionError

    with listener(lambda connection: connection.sendall(b"-ERR unknown command\r\n")) as garbage:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            free = closed.getsockname()[1]
        hanging = answering("grpc.health.v1.Health", {"Check": (health_pb2.HealthCheckRequest, hang)})
        async with serving([hanging]) as slow, serving([]) as bare:
            services = {"slow": slow, "bare": bare, "gone": f"127.0.0.1:{free}", "other": f"127.0.0.1:{garbage}"}
            found = await page(grpc=services | {"nowhere": "does-not-exist.invalid:1"})
            reasons = {
                name.split('"')[1]: name.split('"')[-2]
                for name, value in found.items()
                if name.startswith("fleet_service_failure") and value
            }
            assert reasons.pop("other") in (Reason.UNREACHABLE, Reason.TIMEOUT, Reason.MALFORMED)
            assert reasons == {"slow": Reason.TIMEOUT, "gone": Reason.UNREACHABLE, "nowhere": Reason.UNREACHABLE}
            assert found[f'fleet_service_up{{service="bare",address="{bare}"}}'] == 1
            assert found['fleet_service_instances{service="bare"}'] == 1


def test_one_name_for_a_grpc_and_an_http_service_is_refused() -> None:
    """Both would be the same series."""
    with pytest.raises(SettingsError, match="got web in grpc and http"):
        load({"services.grpc": "web=h:1", "services.http": "web=http://h:1/"}, {})


async def test_tls(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = health(health_pb2.HealthCheckResponse.SERVING)
    async with serving([healthy], certificates) as address:
        up = f'fleet_service_up{{service="context",address="{address}"}}'
        trusted = await page(grpc={"context": address}, tls=True, ca_file=certificates / "server.crt")
        assert trusted[up] == 1
        assert (await page(grpc={"context": address}, tls=True))[up] == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "server.crt"))  # the system's
        assert (await page(grpc={"context": address}, tls=True, ca_file=certificates / "client.crt"))[up] == 1
        assert (await page(grpc={"context": address}))[up] == 0


def test_unknown_fields_are_ignored() -> None:
    newer = ray_executor_pb2.GetActiveJobsResponse.Job(job_id="7", runtime="x").SerializeToString()  # fields 1 and 9
    assert orchestrator_pb2.GetStatusRequest.FromString(newer).include_stats is False


async def test_http_services_by_url() -> None:
    def responses(status: str) -> Callable[[socket.socket], None]:
        def response(connection: socket.socket) -> None:
            connection.recv(4096)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            connection.close()

        return response

    with listener(responses("200 OK")) as fine, listener(responses("503 No")) as broken:
        urls = {"workspace": f"http://u:hunter2@127.0.0.1:{fine}/healthz", "web": f"http://127.0.0.1:{broken}/"}
        found = await collected(Services(ServicesOptions.model_validate({"http": urls})))

    assert found[f'fleet_service_up{{service="workspace",address="127.0.0.1:{fine}"}}'] == 1
    assert found[f'fleet_service_up{{service="web",address="127.0.0.1:{broken}"}}'] == 0
    assert "hunter2" not in str(found)


async def test_registered_agents_are_idle_and_running_jobs_appear() -> None:
    with nats_servers.start() as bus:
        async with serving([orchestrator("fleet.orchestrator.v1"), ray_executor()]) as address:
            flags = (f"--services.grpc=orchestrator={address},ray-executor={address}",)
            with exporter(*flags, variables={"NATS_URL": bus.url}) as running:
                async with httpx.AsyncClient(timeout=20) as client:

                    async def are_registered() -> bool:
                        shown = (await client.get(f"{running.url}/metrics")).text
                        return 'fleet_agents{system="fleet",role="DEV",state="idle"} 2' in shown

                    await eventually(are_registered)  # a busy machine makes a check late
                    agents = (await client.get(f"{running.url}/api/agents")).json()
                    assert [(agent["id"], agent["state"], agent["model"]) for agent in agents] == [
                        ("agent-dev-1", "idle", "Q"), ("agent-dev-2", "idle", "Q"),
                    ]  # fmt: skip
                    [job] = (await client.get(f"{running.url}/api/ray/jobs")).json()
                    assert (job["name"], job["task"], job["role"]) == ("job", "T", "DEV")


async def test_a_slow_service_times_out_alone() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.2)

    with listener(drip) as slow, listener(answered_ok) as fast:
        options = {"http": {"slow": f"http://127.0.0.1:{slow}/", "fast": f"http://127.0.0.1:{fast}/"}, "deadline": 0.5}
        page = await collected(Services(ServicesOptions.model_validate(options)))

    assert page[f'fleet_service_up{{service="fast",address="127.0.0.1:{fast}"}}'] == 1
    assert page[f'fleet_service_failure{{service="slow",address="127.0.0.1:{slow}",reason="timeout"}}'] == 1


def answered_ok(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def responds_503(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")


async def test_a_service_writes_one_line_for_each_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    answers = [answered_ok, answered_ok, lambda _: None, lambda _: None, answered_ok]

    def in_turn(connection: socket.socket) -> None:
        answers.pop(0)(connection)

    with listener(in_turn) as port:
        services = Services(ServicesOptions.model_validate({"http": {"web": f"http://127.0.0.1:{port}/"}}))
        for _ in range(5):
            await services.collect()
            await services.close()

    assert [record.message for record in caplog.records if "service is" in record.message] == [
        "service is up",
        "service is down",
        "service is up",
    ]
    (down,) = (record for record in caplog.records if record.message == "service is down")
    assert vars(down)["error"] == "no response within 2 s"


async def test_every_failed_check_says_why() -> None:
    stopped = health(health_pb2.HealthCheckResponse.NOT_SERVING)
    with listener(responds_503) as broken:
        async with serving([stopped]) as address:
            http = {"gone": "http://127.0.0.1:1/", "broken": f"http://127.0.0.1:{broken}/"}
            services = Services(ServicesOptions.model_validate({"grpc": {"stopped": address}, "http": http}))
            snapshot = await services.collect()
            await services.close()

    assert {probe.service: probe.message for probe in snapshot.probes} == {
        "stopped": "the health service reports NOT_SERVING",
        "gone": "127.0.0.1:1: Connection refused",
        "broken": "expected status 2xx, got 503",
    }


async def test_the_deadline_of_an_address_is_for_all_calls_together() -> None:
    status = ray_executor_pb2.GetStatusResponse(status="healthy")

    async def slow(response: Any) -> Any:
        await asyncio.sleep(0.7)
        return response

    checked = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    handlers = [
        answering("grpc.health.v1.Health", {"Check": (health_pb2.HealthCheckRequest, lambda _: slow(checked))}),
        answering(
            "fleet.ray_executor.v1.RayExecutorService",
            {"GetStatus": (ray_executor_pb2.GetStatusRequest, lambda _: slow(status))},
        ),
    ]
    async with serving(handlers) as address:
        found = await page(grpc={"ray-executor": address})
    assert found[f'fleet_service_failure{{service="ray-executor",address="{address}",reason="timeout"}}'] == 1
