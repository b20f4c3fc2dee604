"""The fleet's services: gRPC health, status of the orchestrator and the Ray executor, and HTTP.

Every address of a service's name is checked concurrently with its own deadline, because replicas share no state. A failed
service is a separate row and does not affect the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from exporter.clients.http_errors import failure_of_http
from exporter.clients.tls import authorities, client_context
from exporter.config.address import Address
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError
from exporter.fleet.registry import RegisterMembers
from exporter.metrics.metric import Metric, Sample
from exporter.source import Source, Target
from exporter.source_options.services import ServicesOptions as ServicesOptions
from exporter.sources.services.probe import METRICS, Job, Probe, samples

if TYPE_CHECKING:
    import httpx

    from exporter.sources.services.grpc_client import GrpcClient


log = logging.getLogger(__name__)

_NO_ADDRESS = (socket.EAI_NONAME, socket.EAI_NODATA)
"""getaddrinfo's errors that are the name server's answer; with others, such as EAI_AGAIN, there is none."""


@dataclass(frozen=True)
class ServicesSnapshot:
    """One check of every address of every service."""

    at: float
    """Time of the check, in seconds since 1970."""
    services: tuple[str, ...]
    """Every configured name, including names that resolve to no address."""
    probes: tuple[Probe, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The running jobs of the Ray executors (GetActiveJobs)."""
        return tuple(job for probe in self.probes for job in probe.jobs or ())


class Services(Source, Target[ServicesSnapshot]):
    """Checks every configured service."""

    kind: ClassVar[str] = "services"
    metrics: ClassVar[tuple[Metric, ...]] = METRICS

    def __init__(self, options: ServicesOptions, shard: Shard = WHOLE) -> None:
        super().__init__(options, shard)
        self.options = options
        self._clients: dict[tuple[str, str], GrpcClient] = {}
        """By service and address."""
        self._http: httpx.AsyncClient | None = None
        self._registries: list[RegisterMembers] = []
        self._reasons: dict[tuple[str, str], Reason | None] = {}
        """Why each address of each service failed at the last check; None if it did not."""

    @property
    def location(self) -> str:
        return ", ".join(sorted({*self.options.grpc, *self.options.http}))

    def add_registry(self, register: RegisterMembers) -> None:
        """Report the members of the councils to `register` at every collection."""
        self._registries.append(register)

    async def collect(self) -> ServicesSnapshot:
        checks = [self._probe_grpc(name, address) for name, address in self.options.grpc.items()]
        checks += [self._probe_http(name, url) for name, url in self.options.http.items()]
        probes = tuple(probe for found in await asyncio.gather(*checks) for probe in found)
        self._log_changes(probes)
        for probe in probes:
            for register in self._registries if probe.members else ():
                register(probe.members or ())
        return ServicesSnapshot(time.time(), (*self.options.grpc, *self.options.http), probes)

    def _log_changes(self, probes: Iterable[Probe]) -> None:
        """One line for each address that changed its state."""
        before, self._reasons = self._reasons, {(probe.service, probe.instance): probe.reason for probe in probes}
        for probe in probes:
            key = (probe.service, probe.instance)
            if key in before and before[key] is probe.reason:
                continue
            fields = {"service": probe.service, "address": probe.instance}
            if probe.reason is None:
                log.info("service is up", extra=fields)
            else:
                log.warning("service is down", extra=fields | {"reason": probe.reason, "error": probe.message})

    def samples(self, snapshot: ServicesSnapshot) -> Iterable[Sample]:
        return samples(snapshot.probes, snapshot.services, snapshot.at)

    async def _probe_grpc(self, name: str, address: Address) -> list[Probe]:
        host, port = address.host, address.port
        try:
            async with asyncio.timeout(self.options.deadline):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            message = f"{address.location}: DNS lookup timed out"
            return [Probe(service=name, instance="", round_trip=0.0, reason=Reason.TIMEOUT, message=message)]
        except (OSError, UnicodeError) as error:
            message = f"{address.location} does not resolve: {getattr(error, 'strerror', None) or error}"
            is_absent = not isinstance(error, OSError) or error.errno in _NO_ADDRESS
            reason = Reason.UNREACHABLE
            return [Probe(service=name, instance="", round_trip=0.0, reason=reason, message=message, is_absent=is_absent)]
        hosts = dict.fromkeys((family, str(where[0])) for family, *_, where in found)
        instances = [f"[{ip}]:{port}" if family == socket.AF_INET6 else f"{ip}:{port}" for family, ip in hosts]
        options = self.options
        kind = "orchestrator" if name in options.orchestrators else "ray_executor" if name in options.ray_executors else ""
        await self._close_clients(key for key in [*self._clients] if key[0] == name and key[1] not in instances)
        clients = [self._client(name, instance, host) for instance in instances]
        return list(
            await asyncio.gather(
                *[client.probe(name, instance, kind) for client, instance in zip(clients, instances, strict=True)]
            )
        )

    def _client(self, name: str, instance: str, host: str) -> GrpcClient:
        key = (name, instance)
        if key not in self._clients:
            try:
                import grpc.aio

                from exporter.sources.services.grpc_client import GrpcClient
            except ImportError:
                raise SourceError(
                    Reason.CONFIG, "gRPC is not installed; install fleet-exporter with its extra grpc: fleet-exporter[grpc]"
                ) from None
            if self.options.tls:
                trusted = authorities("services.", self.options.ca_file) if self.options.ca_file else None
                named = (("grpc.ssl_target_name_override", host),)
                channel = grpc.aio.secure_channel(instance, grpc.ssl_channel_credentials(trusted), options=named)
            else:
                channel = grpc.aio.insecure_channel(instance)
            self._clients[key] = GrpcClient(channel, deadline=self.options.deadline)
        return self._clients[key]

    async def _probe_http(self, name: str, address: Address) -> list[Probe]:
        import httpx

        if self._http is None:
            verify = client_context("services.", self.options.ca_file)
            self._http = httpx.AsyncClient(timeout=self.options.deadline, trust_env=False, verify=verify)
        began = time.perf_counter()
        reason, message = None, ""
        try:
            # The client's own time-outs are for each read: a response of a byte per second would never end.
            async with (
                asyncio.timeout(self.options.deadline),
                self._http.stream("GET", address.get_secret_value()) as response,
            ):
                if not response.is_success:
                    denied = response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
                    reason = Reason.UNAUTHORIZED if denied else Reason.MALFORMED
                    message = f"expected status 2xx, got {response.status_code}"
        except TimeoutError:
            reason, message = Reason.TIMEOUT, f"no response within {self.options.deadline:.3g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = failure_of_http(address.location, error)
            reason, message = failure.reason, str(failure)
        duration = time.perf_counter() - began
        return [Probe(service=name, instance=address.location, round_trip=duration, reason=reason, message=message)]

    async def close(self) -> None:
        http, self._http = self._http, None
        await self._close_clients([*self._clients])
        if http is not None:
            await http.aclose()

    async def _close_clients(self, keys: Iterable[tuple[str, str]]) -> None:
        for client in [self._clients.pop(key) for key in keys]:
            with contextlib.suppress(Exception):
                await client.close()
