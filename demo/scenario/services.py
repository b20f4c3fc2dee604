"""Simulated gRPC services: an orchestrator with its councils, a Ray executor with its jobs, one with health checks only."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio

from demo.scenario.fleet import AGENTS_PER_ROLE, ROLES, Step
from exporter.sources.services import health_pb2, orchestrator_pb2, ray_executor_pb2

_KEPT_JOBS = 3

Method = Callable[[Any], Any]


class SimulatedServices:
    """The state of the services: the councils, which never change, and the latest deliberations."""

    def __init__(self) -> None:
        self._began = time.time()
        self._completed = 0
        self._failed = 0
        self._jobs: deque[Step] = deque(maxlen=_KEPT_JOBS)

    def send(self, step: Step) -> None:
        if step.task:
            failed = all(response.failed for response in step.responses)
            self._failed += failed
            self._completed += not failed
            self._jobs.append(step)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Three services on one port."""
        orchestrator: dict[str, tuple[Any, Method]] = {
            "GetStatus": (orchestrator_pb2.GetStatusRequest, self._orchestrator_status),
            "ListCouncils": (orchestrator_pb2.ListCouncilsRequest, self._councils),
        }
        executor: dict[str, tuple[Any, Method]] = {
            "GetStatus": (ray_executor_pb2.GetStatusRequest, self._executor_status),
            "GetActiveJobs": (ray_executor_pb2.GetActiveJobsRequest, self._active_jobs),
        }
        serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        return (
            _handlers("fleet.orchestrator.v1.OrchestratorService", orchestrator),
            _handlers("fleet.ray_executor.v1.RayExecutorService", executor),
            _handlers("grpc.health.v1.Health", {"Check": (health_pb2.HealthCheckRequest, lambda _: serving)}),
        )

    def _uptime(self) -> int:
        return int(time.time() - self._began)

    def _orchestrator_status(self, _: Any) -> Any:
        stats = orchestrator_pb2.GetStatusResponse.Stats(
            total_deliberations=self._completed + self._failed,
            avg_deliberation_time_ms=2100,
            active_councils=len(ROLES),
            role_counts=dict.fromkeys(ROLES, AGENTS_PER_ROLE),
        )
        return orchestrator_pb2.GetStatusResponse(status="healthy", uptime_seconds=self._uptime(), stats=stats)

    def _councils(self, _: Any) -> Any:
        response = orchestrator_pb2.ListCouncilsResponse()
        for role in ROLES:
            council = response.councils.add(council_id=f"council-{role.lower()}", role=role, model="Qwen/Qwen3-0.6B")
            for number in range(1, AGENTS_PER_ROLE + 1):
                council.agents.add(agent_id=f"agent-{role.lower()}-{number:03}", role=role, status="ready")
        return response

    def _executor_status(self, _: Any) -> Any:
        stats = ray_executor_pb2.GetStatusResponse.Stats(
            total_deliberations=self._completed + self._failed,
            active_deliberations=len(self._jobs),
            completed_deliberations=self._completed,
            failed_deliberations=self._failed,
            average_execution_time_ms=1900,
        )
        return ray_executor_pb2.GetStatusResponse(status="healthy", uptime_seconds=self._uptime(), stats=stats)

    def _active_jobs(self, _: Any) -> Any:
        response = ray_executor_pb2.GetActiveJobsResponse()
        for step in self._jobs:
            name = f"deliberation-{step.task}"
            response.jobs.add(
                job_id=name, name=f"vllm-agent-job-{name}", status="RUNNING", role=step.role, task_id=step.task
            )
        return response


def _handlers(service: str, methods: dict[str, tuple[Any, Method]]) -> grpc.GenericRpcHandler:
    def handler(request: Any, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        async def respond(message: Any, _: Any) -> Any:
            return method(message)

        return grpc.unary_unary_rpc_method_handler(
            respond,
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    return grpc.method_handlers_generic_handler(service, {name: handler(*method) for name, method in methods.items()})


@contextlib.asynccontextmanager
async def serving(services: SimulatedServices) -> AsyncIterator[str]:
    """Serve on a free port of 127.0.0.1; gives host:port."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(services.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
