"""The fleet's services: gRPC health, what the orchestrator and the Ray executor tell of themselves, and HTTP by URL.

Every address that a service's name resolves to is asked, all at once, each with its own deadline: two replicas answer
from memories of their own. A service that fails is a row of its own and harms no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import PrivateAttr

from exporter.config.address import Address, GrpcAddresses, HttpAddresses
from exporter.config.options import Names, Seconds, option
from exporter.errors import Reason, SourceError
from exporter.fleet.registry import Meet
from exporter.metrics.metric import Metric, Sample
from exporter.source import LegacySource
from exporter.sources.services.probe import METRICS, Job, Probe, samples

if TYPE_CHECKING:
    import httpx

    from exporter.sources.services.grpc_client import GrpcClient


_NO_ADDRESSES: dict[str, Address] = {}


class Services(LegacySource):
    """Any number of gRPC and HTTP services, each with a name."""

    kind: ClassVar[str] = "services"
    metrics: ClassVar[tuple[Metric, ...]] = METRICS

    grpc: Annotated[GrpcAddresses, option("gRPC services: name=host:port, with commas.")] = _NO_ADDRESSES
    http: Annotated[HttpAddresses, option("HTTP services: name=URL, with commas; status 2xx is up.")] = _NO_ADDRESSES
    orchestrators: Annotated[Names, option("Names of the services that are orchestrators.")] = ("orchestrator",)
    ray_executors: Annotated[Names, option("Names of the services that are Ray executors.")] = ("ray-executor",)
    deadline: Annotated[Seconds, option("Timeout of one request, in seconds.")] = 2.0
    tls: Annotated[bool, option("Use TLS for the gRPC services.")] = False
    ca_file: Annotated[Path | None, option("CA certificate that signed the services', for TLS.")] = None

    _clients: dict[tuple[str, str], GrpcClient] = PrivateAttr(default_factory=dict)
    _http: httpx.AsyncClient | None = PrivateAttr(None)
    _meet: list[Meet] = PrivateAttr(default_factory=list)
    _jobs: tuple[Job, ...] = PrivateAttr(())

    @property
    def enabled(self) -> bool:
        return bool(self.grpc or self.http)

    @property
    def location(self) -> str:
        return ", ".join(sorted({*dict(self.grpc), *dict(self.http)}))

    def tell_roster_to(self, meet: Meet) -> None:
        """Have somebody told who is on the roster, at each reading."""
        self._meet.append(meet)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that ran at the last reading (GetActiveJobs)."""
        return self._jobs

    async def collect(self) -> Iterable[Sample]:
        asked = [self._ask_grpc(name, address) for name, address in self.grpc.items()]
        asked += [self._ask_http(name, url) for name, url in self.http.items()]
        probes = [probe for some in await asyncio.gather(*asked) for probe in some]
        for probe in probes:
            for meet in self._meet if probe.roster else ():
                meet(probe.roster or ())
        self._jobs = tuple(job for probe in probes for job in probe.jobs or ())
        return list(samples(probes, [*self.grpc, *self.http], time.time()))

    async def _ask_grpc(self, name: str, address: Address) -> list[Probe]:
        host, port = address.host, address.port
        try:
            async with asyncio.timeout(self.deadline):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            message = f"{address.location} does not resolve: {getattr(error, 'strerror', None) or error}"
            return [Probe(service=name, instance="", round_trip=0.0, reason=Reason.UNREACHABLE, message=message)]
        hosts = dict.fromkeys((family, str(where[0])) for family, *_, where in found)
        instances = [f"[{ip}]:{port}" if family == socket.AF_INET6 else f"{ip}:{port}" for family, ip in hosts]
        kind = "orchestrator" if name in self.orchestrators else "ray_executor" if name in self.ray_executors else ""
        clients = [self._client(instance, host) for instance in instances]
        return list(
            await asyncio.gather(
                *[client.probe(name, instance, kind) for client, instance in zip(clients, instances, strict=True)]
            )
        )

    def _client(self, instance: str, host: str) -> GrpcClient:
        key = (instance, host)
        if key not in self._clients:
            try:
                import grpc.aio

                from exporter.sources.services.grpc_client import GrpcClient
            except ImportError:
                raise SourceError(
                    Reason.CONFIG, "gRPC is not installed; install fleet-exporter with its extra grpc: fleet-exporter[grpc]"
                ) from None
            if self.tls:
                try:
                    authority = self.ca_file.read_bytes() if self.ca_file else None
                except OSError as error:
                    raise SourceError(Reason.CONFIG, f"services.ca_file {self.ca_file}: {error.strerror}") from None
                named = (("grpc.ssl_target_name_override", host),)
                channel = grpc.aio.secure_channel(instance, grpc.ssl_channel_credentials(authority), options=named)
            else:
                channel = grpc.aio.insecure_channel(instance)
            self._clients[key] = GrpcClient(channel, deadline=self.deadline)
        return self._clients[key]

    async def _ask_http(self, name: str, address: Address) -> list[Probe]:
        import httpx

        if self._http is None:
            try:
                verify = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            except (OSError, ssl.SSLError) as error:
                raise SourceError(Reason.CONFIG, f"services.ca_file {self.ca_file}: {error}") from None
            self._http = httpx.AsyncClient(timeout=self.deadline, trust_env=False, verify=verify)
        began = time.perf_counter()
        reason, message = None, ""
        try:
            async with self._http.stream("GET", address.get_secret_value()) as reply:
                if not reply.is_success:
                    denied = reply.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
                    reason = Reason.UNAUTHORIZED if denied else Reason.MALFORMED
                    message = f"status {reply.status_code}"
        except httpx.TimeoutException:
            reason = Reason.TIMEOUT
        except httpx.RemoteProtocolError:
            reason = Reason.MALFORMED
        except httpx.InvalidURL:
            reason = Reason.CONFIG
        except httpx.HTTPError:
            reason = Reason.UNREACHABLE
        taken = time.perf_counter() - began
        return [Probe(service=name, instance=address.location, round_trip=taken, reason=reason, message=message)]

    async def close(self) -> None:
        clients, self._clients = self._clients, {}
        http, self._http = self._http, None
        for client in clients.values():
            with contextlib.suppress(Exception):
                await client.close()
        if http is not None:
            await http.aclose()
