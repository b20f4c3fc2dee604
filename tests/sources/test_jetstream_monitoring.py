"""The monitoring port of real NATS servers, and ports that answer something else."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.options import Address
from exporter.settings import SettingsError, load
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers import nats as nats_servers
from servers.nats import Nats
from servers.process import free_port
from tests.support.pages import Page, collected, listener


def source(server: Nats, *ports: int) -> Jetstream:
    addresses = tuple(Address(f"http://127.0.0.1:{port}") for port in ports)
    return Jetstream(JetstreamOptions(url=(Address(server.url),), monitoring_url=addresses))


def of(page: Page, name: str, port: int) -> float:
    return page[f'{name}{{server="127.0.0.1:{port}"}}']


def lookup(page: Page, port: int) -> float:
    return page[f'fleet_exporter_lookup_up{{source="jetstream",server="127.0.0.1:{port}",lookup="monitoring"}}']


async def test_a_server_and_one_that_does_not_answer() -> None:
    port, closed = free_port(), free_port()
    with nats_servers.start(config=f"http: 127.0.0.1:{port}\nserver_name: n1\nmax_connections: 500\n") as server:
        client = await nats.connect(server.url)
        await client.subscribe("answers")
        for _ in range(5):
            await client.publish("answers", b"12345")
        await client.flush()
        page = await collected(source(server, port, closed))
        await client.close()

    assert (lookup(page, port), lookup(page, closed)) == (1, 0)
    assert of(page, "nats_server_healthy", port) == 1
    assert of(page, "nats_server_connections", port) == 2  # the client above and the exporter
    assert of(page, "nats_server_limit_connections", port) == 500
    assert of(page, "nats_server_connections_accepted_total", port) >= 2
    assert of(page, "nats_server_subscriptions", port) > 0
    assert of(page, "nats_server_slow_consumers_total", port) == 0
    assert of(page, "nats_server_received_messages_total", port) >= 5
    assert of(page, "nats_server_sent_messages_total", port) >= 5
    assert of(page, "nats_server_received_bytes_total", port) >= 25
    assert of(page, "nats_server_sent_bytes_total", port) >= 25
    assert of(page, "nats_server_memory_bytes", port) > 1e6
    assert of(page, "nats_server_cpu_cores", port) >= 0
    assert of(page, "nats_server_start_timestamp_seconds", port) > 1.7e9
    assert not any(name.startswith("nats_server_meta_") for name in page)  # one server has no meta group
    assert any(name.startswith(f'nats_server_process_info{{server="127.0.0.1:{port}",name="n1"') for name in page)
    assert not any(f"127.0.0.1:{closed}" in name for name in page if name.startswith("nats_"))
    assert page["nats_account_streams"] == 0


def answering(status: str, body: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)

    return answer


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("200 OK", b"{}"),
        ("200 OK", b"no json"),
        ("200 OK", json.dumps({"server_name": 1}).encode()),
        ("200 OK", b" " * 2_000_000),
        ("404 Not Found", b""),
    ],
    ids=["empty", "text", "types", "large", "missing"],
)
async def test_a_port_that_is_none_of_nats_loses_only_its_figures(nats_server: Nats, status: str, body: bytes) -> None:
    with listener(answering(status, body)) as port:
        page = await collected(source(nats_server, port))

    assert lookup(page, port) == 0
    assert not any(name.startswith("nats_server_c") for name in page)
    assert page["nats_rtt_seconds"] > 0


async def test_a_port_that_hangs_times_out_alone(nats_server: Nats) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with listener(silent) as port:
        page = await collected(source(nats_server, port))

    assert lookup(page, port) == 0
    assert page["nats_rtt_seconds"] > 0


@given(st.lists(st.sampled_from(["h:1", "http://h:1", "https://h:2", "http://u:p@h:1/", "http://h:3/varz", "nats://h"])))
def test_each_server_is_configured_once(addresses: list[str]) -> None:
    try:
        loaded = load({"jetstream.url": "h", "jetstream.monitoring_url": ",".join(addresses)}, {})
    except SettingsError:
        return

    servers = [address.server for address in getattr(loaded, "jetstream").monitoring_url]  # noqa: B009 - found by name
    assert len(servers) == len(set(servers))
