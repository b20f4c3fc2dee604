"""Options of the source `vllm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Gt
from pydantic import AfterValidator, SecretStr

from exporter.config.address import VllmAddresses
from exporter.config.options import Names, Secret, option
from exporter.source import SourceOptions


def _full_names(services: tuple[str, ...]) -> tuple[str, ...]:
    for service in services:
        namespace, _, name = service.partition("/")
        if not namespace or not name.partition(":")[0]:
            raise ValueError(f"expected namespace/name or namespace/name:port, got {service!r}")
    return services


class VllmOptions(SourceOptions):
    """Any number of vLLM servers, of any version since 0.6, standalone or in Ray Serve."""

    url: Annotated[
        VllmAddresses,
        option("host:port, http:// or https:// addresses; /metrics is added if the address has no path.", env="VLLM_URL"),
    ] = ()
    token: Annotated[Secret, option("Bearer token, if a proxy in front of the server requires one.")] = SecretStr("")
    ca_file: Annotated[Path | None, option("CA certificates for https, in addition to the system's.")] = None
    service: Annotated[
        Names,
        AfterValidator(_full_names),
        option("Kubernetes Services whose endpoints are vLLM servers, as namespace/name or namespace/name:port."),
    ] = ()
    kubeconfig: Annotated[
        Path | None, option("kubeconfig file for endpoint discovery; default: the pod's service account.")
    ] = None
    max_bytes: Annotated[int, Gt(0), option("Maximum bytes of a server's metrics page.")] = 8 * 1024 * 1024

    @property
    def enabled(self) -> bool:
        return bool(self.url or self.service)
