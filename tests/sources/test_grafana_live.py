"""Pushes to Grafana Live; a local HTTP server replaces Grafana and records the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given

from exporter.config.options import Address
from exporter.events.broadcast import is_full, listening_to
from exporter.events.model import Event, Message, parsed
from exporter.sources.fleet import FleetEvents, FleetOptions
from exporter.sources.fleet.grafana_live import line
from servers import nats as nats_servers
from tests.events.shapes import BODIES, SUBJECTS
from tests.support.fleet_streams import fleet_on, reading
from tests.support.pages import followed, page_showing


class Pushes(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken: list[tuple[str, str, str]] = []
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Pushes)
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        server.taken.append((self.path, self.headers["authorization"], body))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[Pushes]:
    with Pushes() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_events_are_pushed_on_arrival(grafana: Pushes) -> None:
    with nats_servers.start() as server:
        url = Address(f"http://127.0.0.1:{grafana.server_port}")
        async with fleet_on(server.url) as fleet, reading(server.url, grafana_url=url, grafana_token="t") as reader:
            await fleet.stream("AGENT_RESPONSES", "agent.response.>")
            await reader.page()
            await fleet.says("agent.response.completed", task_id="T 1", agent_id="agent-dev-1", duration_ms=2300)
            await reader.shows("fleet_exporter_grafana_live_events_total", 1)
            grafana.status = 503
            await fleet.says("agent.response.completed", task_id="T 2", agent_id="agent-dev-1")
            await reader.shows("fleet_exporter_grafana_live_failures_total", 1)
    path, authorization, body = grafana.taken[0]
    assert (path, authorization) == ("/api/live/push/fleet", "Bearer t")
    assert body.startswith('events,family=agent,outcome=completed,role=DEV type="agent.response.completed"')
    assert 'task="T 1"' in body
    assert "duration_seconds=2.3" in body


async def test_events_are_pushed_while_the_live_stream_has_all_its_clients(grafana: Pushes) -> None:
    options = {"grafana_url": Address(f"http://127.0.0.1:{grafana.server_port}"), "grafana_token": "t", "timeout": 5}
    with nats_servers.start() as server, ExitStack() as clients:
        source = FleetEvents(FleetOptions.model_validate({"url": (Address(server.url),), **options}))
        while not is_full([source.live]):
            clients.enter_context(listening_to([source.live]))
        connected = source.live.clients
        async with fleet_on(server.url) as fleet, followed(source):
            await fleet.stream("AGENT_RESPONSES", "agent.response.>")
            await page_showing(source, "fleet_exporter_stream_clients", connected)
            await fleet.says("agent.response.completed", task_id="T", agent_id="agent-dev-1")
            await page_showing(source, "fleet_exporter_grafana_live_events_total", 1)


@given(subject=SUBJECTS, body=BODIES)
def test_any_event_is_one_line(subject: str, body: dict[str, Any]) -> None:
    event = parsed(Message(subject, json.dumps(body).encode(), 1_763_632_800.0))

    if isinstance(event, Event):
        text = line(event)
        assert "\n" not in text
        assert text.endswith(" 1763632800000000000")
