"""Options of the web server; separate from `web/` to avoid importing a server with the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from exporter.config.options import Names, Options, Seconds, option

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""A web page of another site can reach these through a host name that resolves to them (DNS rebinding)."""


def _listen_address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"expected host:port, :port for every interface, or [address]:port for IPv6, got {value!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"expected an IPv6 address in brackets, such as [::1]:9847, got {value!r}")
    return value


class Web(Options):
    """Listen address and web configuration."""

    listen_address: Annotated[
        str,
        AfterValidator(_listen_address),
        option("Address to listen on, host:port; port 0 selects a free port."),
    ] = ":9847"
    config_file: Annotated[
        Path | None,
        option(
            "File with TLS and basic authentication settings, in the Prometheus exporter-toolkit format.",
            flag="--web.config.file",
        ),
    ] = None
    allowed_hosts: Annotated[
        Names,
        option(
            "Host names and addresses that requests may have in their Host header, without ports; default: all, or only "
            "the names of this machine if the listen address is a loopback address."
        ),
    ] = ()
    timeout_offset: Annotated[
        Seconds,
        option("Seconds subtracted from the Prometheus scrape timeout."),
    ] = 0.5

    @property
    def host(self) -> str:
        """The interface to bind; all interfaces of both families if empty."""
        return self.listen_address.rpartition(":")[0].strip("[]")

    @property
    def hosts(self) -> frozenset[str] | None:
        """The accepted hosts in lower case, IPv6 without brackets; None: all."""
        if self.allowed_hosts:
            return frozenset(name.lower().strip("[]") for name in self.allowed_hosts)
        return _LOOPBACK if self.host in _LOOPBACK or self.host.startswith("127.") else None

    @property
    def port(self) -> int:
        return int(self.listen_address.rpartition(":")[2])
