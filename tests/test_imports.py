"""Memory and start: the exporter imports the clients of the configured sources, and the API at its first request."""

from __future__ import annotations

import re

import httpx

from servers import valkey
from tests.support.process import Exporter, exporter

_IMPORT = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
_API = frozenset({"fastapi", "exporter.web.api"})
_OTHER_CLIENTS = frozenset(
    {"aiohttp", "exporter.events.model", "grpc", "httpx", "kubernetes", "msgspec", "nats", "neo4j", "sqlite3", "yaml"}
)
_TRACED = {"PYTHONPROFILEIMPORTTIME": "1"}


def _imported(running: Exporter) -> set[str]:
    """The modules that the process imported until now; ends it."""
    running.stop()
    assert running.process.stderr is not None
    return set(_IMPORT.findall("".join(running.log) + running.process.stderr.read()))


def test_one_valkey_needs_no_other_client_and_no_api(valkey_server: valkey.RunningValkey) -> None:
    with exporter(variables={"REDIS_URL": valkey_server.url, **_TRACED}) as running:
        page = httpx.get(f"{running.url}/metrics", timeout=30).text
        assert httpx.get(f"{running.url}/nowhere", timeout=30).status_code == 404
        imported = _imported(running)

    assert 'fleet_exporter_source_up{source="valkey"' in page
    assert {name.split(".")[2] for name in imported if name.startswith("exporter.sources.")} == {"valkey"}
    assert "redis" in imported
    assert imported & (_OTHER_CLIENTS | _API) == set()


def test_the_first_request_imports_the_api() -> None:
    with exporter(variables=_TRACED) as running:
        assert httpx.get(f"{running.url}/openapi.json", timeout=30).status_code == 200
        imported = _imported(running)

    assert imported >= _API
