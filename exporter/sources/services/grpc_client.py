"""Checks one gRPC address: health, then the status methods of its kind of service. Calls read-only methods only."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from exporter.errors import Reason
from exporter.events.values import UNKNOWN_ROLE, role_of
from exporter.fleet.registry import Member
from exporter.sources.services import health_pb2, orchestrator_pb2, ray_executor_pb2
from exporter.sources.services.probe import Health, Job, Probe

if TYPE_CHECKING:
    import grpc.aio

M = TypeVar("M")

ORCHESTRATOR_PACKAGES = ("fleet.orchestrator.v1", "orchestrator.v1")
RAY_EXECUTOR_PACKAGES = ("fleet.ray_executor.v1", "ray_executor.v1")

_HEALTH = {
    health_pb2.HealthCheckResponse.SERVING: Health.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING: Health.NOT_SERVING,
}


class NotOffered(Exception):
    """The server does not have the method."""


def reason_of(code: grpc.StatusCode) -> Reason:
    """The reason for an error status."""
    import grpc

    return {
        grpc.StatusCode.UNAVAILABLE: Reason.UNREACHABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED: Reason.TIMEOUT,
        grpc.StatusCode.UNAUTHENTICATED: Reason.UNAUTHORIZED,
        grpc.StatusCode.PERMISSION_DENIED: Reason.UNAUTHORIZED,
    }.get(code, Reason.MALFORMED)


class GrpcClient:
    """A channel to one address."""

    def __init__(self, channel: grpc.aio.Channel, *, deadline: float) -> None:
        self._channel = channel
        self._deadline = deadline
        self._ends = 0.0
        self._packages: dict[str, str] = {}

    async def _call(self, method: str, request: Any, response: type[M]) -> M:
        """Raises NotOffered for UNIMPLEMENTED, grpc's AioRpcError for every other failure."""
        import grpc

        call = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,  # type: ignore[attr-defined]  # protobuf messages are made at run time
        )
        try:
            return cast(M, await call(request, timeout=max(self._ends - time.monotonic(), 0.0)))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise NotOffered from None
            raise

    async def _of_either(self, packages: tuple[str, ...], service: str, method: str, request: Any, response: type[M]) -> M:
        """Call a method under the package name that the server knows; it is tried first from then on."""
        known = self._packages.get(service)
        for package in sorted(packages, key=lambda package: package != known):  # an upgrade can change it
            try:
                found = await self._call(f"/{package}.{service}/{method}", request, response)
            except NotOffered:
                continue
            self._packages[service] = package
            return found
        raise NotOffered

    async def probe(self, service: str, instance: str, kind: str) -> Probe:
        """Call every method, within the deadline for all of them; an error fails the whole probe.

        A method that the server lacks is left out.
        """
        import grpc

        began = time.perf_counter()
        self._ends = time.monotonic() + self._deadline
        try:
            health = await self._health()
            round_trip = time.perf_counter() - began
            if kind == "orchestrator":
                reported = await self._orchestrator()
            elif kind == "ray_executor":
                reported = await self._ray_executor()
            else:
                reported = {}
        except grpc.aio.AioRpcError as error:
            duration = time.perf_counter() - began
            text = error.details() or error.code().name
            return Probe(
                service=service, instance=instance, round_trip=duration, reason=reason_of(error.code()), message=text[:200]
            )
        found = Probe(service=service, instance=instance, round_trip=round_trip, health=health, **reported)
        if health is not Health.NOT_SERVING:
            return found
        return replace(found, reason=Reason.UNREACHABLE, message="the health service reports NOT_SERVING")

    async def _health(self) -> Health:
        try:
            response = await self._call(
                "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
            )
        except NotOffered:
            return Health.NONE
        return _HEALTH.get(response.status, Health.UNKNOWN)

    async def _orchestrator(self) -> dict[str, Any]:
        try:
            status = await self._of_either(
                ORCHESTRATOR_PACKAGES,
                "OrchestratorService",
                "GetStatus",
                orchestrator_pb2.GetStatusRequest(include_stats=True),
                orchestrator_pb2.GetStatusResponse,
            )
        except NotOffered:
            return {}
        reported: dict[str, Any] = {
            "uptime": float(status.uptime_seconds),
            "deliberations": (("all", status.stats.total_deliberations),),
            "mean": status.stats.avg_deliberation_time_ms / 1000,
            "councils": int(status.stats.active_councils),
        }
        # The server fails for an empty council; then the members are unknown.
        import grpc

        try:
            councils = await self._of_either(
                ORCHESTRATOR_PACKAGES,
                "OrchestratorService",
                "ListCouncils",
                orchestrator_pb2.ListCouncilsRequest(include_agents=True),
                orchestrator_pb2.ListCouncilsResponse,
            )
        except (NotOffered, grpc.aio.AioRpcError):
            return reported
        reported["members"] = tuple(
            Member(agent.agent_id, role_of(agent.role or council.role) or UNKNOWN_ROLE, council.model or None)
            for council in councils.councils
            for agent in council.agents
            if agent.agent_id
        )
        return reported

    async def _ray_executor(self) -> dict[str, Any]:
        try:
            status = await self._of_either(
                RAY_EXECUTOR_PACKAGES,
                "RayExecutorService",
                "GetStatus",
                ray_executor_pb2.GetStatusRequest(include_stats=True),
                ray_executor_pb2.GetStatusResponse,
            )
        except NotOffered:
            return {}
        stats = status.stats
        reported: dict[str, Any] = {
            "uptime": float(status.uptime_seconds),
            "deliberations": (("completed", stats.completed_deliberations), ("failed", stats.failed_deliberations)),
            "active": int(stats.active_deliberations),
            "mean": stats.average_execution_time_ms / 1000,
        }
        try:
            jobs = await self._of_either(
                RAY_EXECUTOR_PACKAGES,
                "RayExecutorService",
                "GetActiveJobs",
                ray_executor_pb2.GetActiveJobsRequest(),
                ray_executor_pb2.GetActiveJobsResponse,
            )
        except NotOffered:
            return reported
        reported["jobs"] = tuple(
            Job(job.job_id, job.name, job.status, role_of(job.role) or UNKNOWN_ROLE, job.task_id, _seconds(job))
            for job in jobs.jobs
        )
        return reported

    async def close(self) -> None:
        await self._channel.close()


def _seconds(job: ray_executor_pb2.GetActiveJobsResponse.Job) -> float | None:
    return job.start_time.seconds + job.start_time.nanos / 1e9 if job.HasField("start_time") else None
