"""Options of the source `services`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import model_validator

from exporter.config.address import Address, GrpcAddresses, HttpAddresses
from exporter.config.options import Names, Seconds, option
from exporter.source import SourceOptions

_NO_ADDRESSES: dict[str, Address] = {}


class ServicesOptions(SourceOptions):
    """Any number of gRPC and HTTP services, each with a name."""

    grpc: Annotated[GrpcAddresses, option("gRPC services: comma-separated name=host:port.")] = _NO_ADDRESSES
    http: Annotated[HttpAddresses, option("HTTP services: comma-separated name=URL; status 2xx is up.")] = _NO_ADDRESSES
    orchestrators: Annotated[Names, option("Names of the services that are orchestrators.")] = ("orchestrator",)
    ray_executors: Annotated[Names, option("Names of the services that are Ray executors.")] = ("ray-executor",)
    deadline: Annotated[Seconds, option("Timeout of all requests to one address, in seconds.")] = 2.0
    tls: Annotated[bool, option("Use TLS for the gRPC services.")] = False
    ca_file: Annotated[Path | None, option("CA certificates, in addition to the system's.")] = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if both := sorted(self.grpc.keys() & self.http.keys()):
            raise ValueError(f"expected each name once, got {', '.join(both)} in grpc and http; give each its own name")
        return self

    @property
    def enabled(self) -> bool:
        return bool(self.grpc or self.http)
