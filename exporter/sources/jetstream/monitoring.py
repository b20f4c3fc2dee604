"""The monitoring port of nats-server (/varz, /healthz): what an account cannot see of the server process. Optional.

Each configured address is one server. One that does not respond loses only its own metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from exporter.clients.tls import client_context
from exporter.config.address import Address
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, info, labels
from exporter.metrics.timestamps import seconds
from exporter.source import LOOKUP_UP

if TYPE_CHECKING:
    import httpx

_TIMEOUT: Final = 2.0
_MAX_BYTES: Final = 1024 * 1024

INFO = info("nats_server_process_info", "Name and version of a server (/varz).", "server", "name", "version")
HEALTHY = gauge("nats_server_healthy", "Whether the server reports that it is healthy (/healthz).", "server")
START = gauge("nats_server_start_timestamp_seconds", "Start of the server (/varz start).", "server", unit=Unit.TIMESTAMP)
CPU = gauge("nats_server_cpu_cores", "CPU used (/varz cpu).", "server", unit=Unit.CORES)
MEMORY = gauge("nats_server_memory_bytes", "Resident memory (/varz mem).", "server", unit=Unit.BYTES)
CONNECTIONS = gauge("nats_server_connections", "Client connections (/varz connections).", "server")
CONNECTION_LIMIT = gauge("nats_server_limit_connections", "Max client connections (/varz max_connections).", "server")
ACCEPTED = counter(
    "nats_server_connections_accepted_total", "Client connections since the start (/varz total_connections).", "server"
)
SUBSCRIPTIONS = gauge("nats_server_subscriptions", "Subscriptions (/varz subscriptions).", "server")
SLOW_CONSUMERS = counter(
    "nats_server_slow_consumers_total",
    "Connections closed because the client read too slowly (/varz slow_consumers).",
    "server",
)
RECEIVED = counter("nats_server_received_messages_total", "Messages received (/varz in_msgs).", "server")
SENT = counter("nats_server_sent_messages_total", "Messages sent (/varz out_msgs).", "server")
RECEIVED_BYTES = counter("nats_server_received_bytes_total", "Bytes received (/varz in_bytes).", "server", unit=Unit.BYTES)
SENT_BYTES = counter("nats_server_sent_bytes_total", "Bytes sent (/varz out_bytes).", "server", unit=Unit.BYTES)
META_LEADER = gauge(
    "nats_server_meta_leader", "Whether the server leads JetStream's meta group; absent outside a cluster (/varz).", "server"
)
META_PENDING = gauge(
    "nats_server_meta_pending", "Operations of the meta group not yet applied (/varz jetstream.meta.pending).", "server"
)

METRICS: Final[tuple[Metric, ...]] = (
    INFO, HEALTHY, START, CPU, MEMORY, CONNECTIONS, CONNECTION_LIMIT, ACCEPTED, SUBSCRIPTIONS, SLOW_CONSUMERS, RECEIVED,
    SENT, RECEIVED_BYTES, SENT_BYTES, META_LEADER, META_PENDING, LOOKUP_UP,
)  # fmt: skip


class Meta(msgspec.Struct):
    leader: str = ""
    pending: int = 0


class JetstreamPart(msgspec.Struct):
    meta: Meta | None = None


class Varz(msgspec.Struct):
    """The fields of /varz that are exported."""

    server_name: str
    version: str
    start: str
    cpu: float
    mem: int
    connections: int
    total_connections: int
    max_connections: int
    subscriptions: int
    slow_consumers: int
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    jetstream: JetstreamPart | None = None


class ServerReading(msgspec.Struct):
    """One server; None for what it did not return."""

    server: str
    varz: Varz | None = None
    is_healthy: bool | None = None


class MonitoringPorts:
    """Reads the monitoring ports of the configured servers concurrently."""

    def __init__(self, addresses: Sequence[Address], ca_file: Path | None) -> None:
        self._addresses = addresses
        self._ca_file = ca_file
        self._client: httpx.AsyncClient | None = None

    async def read(self) -> list[ServerReading]:
        """One reading per address, also of servers that do not respond."""
        return list(await asyncio.gather(*[self._read(address) for address in self._addresses]))

    async def _read(self, address: Address) -> ServerReading:
        import httpx

        reading = ServerReading(address.server)
        base = address.get_secret_value().rstrip("/")
        try:
            # The client's own time-outs are for each read: a response of a byte per second would never end.
            async with asyncio.timeout(_TIMEOUT):
                status, body = await self._get(f"{base}/varz")
                if status == httpx.codes.OK:
                    reading.varz = msgspec.json.decode(body, type=Varz)
                status, _ = await self._get(f"{base}/healthz")
                if status in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
                    reading.is_healthy = status == httpx.codes.OK
        except (TimeoutError, OSError, ValueError, httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
            pass  # LOOKUP_UP reports it
        return reading

    async def _get(self, url: str) -> tuple[int, bytes]:
        """Status and body of a page. Raises ValueError if it is too large."""
        async with self._connected().stream("GET", url) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > _MAX_BYTES:
                    raise ValueError(f"expected at most {_MAX_BYTES} bytes")
                parts.append(part)
        return response.status_code, b"".join(parts)

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            is_secure = any(address.scheme == "https" for address in self._addresses)
            verify = client_context("jetstream.", self._ca_file) if is_secure else False
            self._client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, verify=verify)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def monitoring_samples(readings: Iterable[ServerReading]) -> Iterable[Sample]:
    """The metrics of every server, and whether it responded to both requests. Pure."""
    for reading in readings:
        yield LOOKUP_UP(
            reading.varz is not None and reading.is_healthy is not None,
            source="jetstream",
            server=reading.server,
            lookup="monitoring",
        )
        if reading.is_healthy is not None:
            yield HEALTHY(reading.is_healthy, server=reading.server)
        if reading.varz is not None:
            yield from _varz_samples(reading.server, reading.varz)


def _varz_samples(server: str, varz: Varz) -> Iterable[Sample]:
    who = labels(server=server)
    yield INFO(1, server=server, name=varz.server_name, version=varz.version)
    if (started := seconds(varz.start)) is not None:
        yield START.at(who, started)
    yield CPU.at(who, varz.cpu / 100)
    for metric, value in (
        (MEMORY, varz.mem),
        (CONNECTIONS, varz.connections),
        (CONNECTION_LIMIT, varz.max_connections),
        (ACCEPTED, varz.total_connections),
        (SUBSCRIPTIONS, varz.subscriptions),
        (SLOW_CONSUMERS, varz.slow_consumers),
        (RECEIVED, varz.in_msgs),
        (SENT, varz.out_msgs),
        (RECEIVED_BYTES, varz.in_bytes),
        (SENT_BYTES, varz.out_bytes),
    ):
        yield metric.at(who, value)
    meta = varz.jetstream.meta if varz.jetstream is not None else None
    if meta is not None:
        yield META_LEADER.at(who, meta.leader == varz.server_name)
        yield META_PENDING.at(who, meta.pending)
