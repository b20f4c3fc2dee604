"""The API over real sockets: responses, errors and authentication."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import bcrypt
import httpx
import pytest
import websockets

from tests.support.process import Exporter, exporter
from tests.web.api.conftest import SECRET

PROBLEM = "application/problem+json"


def asked(running: Exporter, path: str, **query: Any) -> Any:
    response = httpx.get(f"{running.url}{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_councils_and_their_agents(running: Exporter) -> None:
    councils = {council["role"]: council for council in asked(running, "/api/councils")}

    assert (councils["DEV"]["size"], councils["DEV"]["expected_size"], councils["DEV"]["models"]) == (2, 3, ["Q"])
    assert [agent["state"] for agent in councils["QA"]["agents"]] == ["failed"]


def test_agents_by_role_and_state(running: Exporter) -> None:
    assert [agent["id"] for agent in asked(running, "/api/agents", role="developer")] == ["agent-dev-001", "agent-dev-002"]
    assert [agent["id"] for agent in asked(running, "/api/agents", state="failed")] == ["agent-qa-001"]


def test_an_agent_with_its_history(running: Exporter) -> None:
    agent = asked(running, "/api/agents/agent-qa-001")

    assert (agent["failed"], agent["success_ratio"]) == (1, 0)
    assert agent["history"][0]["error"] == "no <b>answer</b>"
    assert httpx.get(f"{running.url}/api/agents/missing").status_code == 404


def test_a_storys_whole_timeline(running: Exporter) -> None:
    found = asked(running, "/api/stories/US-1")

    assert (found["story"]["stage"], found["story"]["title"], found["truncated"]) == ("DRAFT", "=cmd()", False)
    assert [event["type"].rpartition(".")[2] for event in found["events"]] == [
        "created", "transitioned", "completed", "completed",
    ]  # fmt: skip
    assert httpx.get(f"{running.url}/api/stories/US-404").status_code == 404


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({}, 5),
        ({"family": "planning"}, 2),
        ({"subject": "agent.*.failed"}, 1),
        ({"subject": "agent.>"}, 3),
        ({"story": "US-1"}, 4),
        ({"role": "qa"}, 1),
        ({"agent": "agent-dev-002"}, 1),
        ({"outcome": "failed"}, 1),
        ({"q": "no <b>"}, 1),
        ({"story": "US-1", "role": "DEV"}, 2),
        ({"since": "1ms"}, 0),
    ],
)
def test_events_are_filtered_by_their_fields(running: Exporter, query: dict[str, str], number: int) -> None:
    assert len(asked(running, "/api/events", **{"since": "1h", **query})["events"]) == number


def test_a_limited_page_of_events_is_marked_truncated(running: Exporter) -> None:
    found = asked(running, "/api/events", since="1h", limit=2)

    assert (len(found["events"]), found["truncated"], found["stopped"]) == (2, True, "limit")


def test_secrets_are_not_shown(running: Exporter) -> None:
    found = asked(running, "/api/events", since="1h", subject="planning.story.created")

    assert found["events"][0]["payload"]["token"] == "[redacted]"
    assert SECRET not in json.dumps(found)


def test_events_as_ndjson_and_csv(running: Exporter) -> None:
    lines = httpx.get(f"{running.url}/api/events", params={"since": "1h", "format": "ndjson"})
    table = httpx.get(f"{running.url}/api/events", params={"since": "1h", "format": "csv"})

    assert [json.loads(line)["sequence"] for line in lines.text.splitlines()] == [3, 2, 1, 2, 1]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert rows[0]["error"] == "no <b>answer</b>"
    assert rows[2]["duration_seconds"] == "1.5"


@pytest.mark.parametrize("since", ["soon", "5x", "", "-5m", "99999999w", "9" * 5000 + "s", "3000-01-01T00:00:00Z"])
@pytest.mark.parametrize("path", ["/api/events", "/api/stories/US-1"])
def test_an_invalid_time_is_rejected(running: Exporter, path: str, since: str) -> None:
    response = httpx.get(f"{running.url}{path}", params={"since": since})

    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == ["since"]
    assert response.json()["detail"].startswith("since: ")


@pytest.mark.parametrize(
    "path", ["/api/ray/jobs", "/api/ray/jobs/default/x", "/api/metrics/vllm", "/api/graph/nodes", "/api/cache/keys"]
)
def test_an_unconfigured_backend_names_the_option_to_set(running: Exporter, path: str) -> None:
    response = httpx.get(f"{running.url}{path}")

    assert response.status_code == 404
    assert "configured" in response.json()["detail"]


def test_every_route_is_read_only(running: Exporter) -> None:
    paths = asked(running, "/openapi.json")["paths"]

    assert {method for path in paths.values() for method in path} == {"get"}
    for method in ("DELETE", "POST", "PUT", "PATCH"):
        refused = httpx.request(method, f"{running.url}/api/events")
        assert (refused.status_code, refused.headers["content-type"]) == (405, PROBLEM)


def test_the_api_documentation_loads_no_external_resources(running: Exporter) -> None:
    page = httpx.get(f"{running.url}/docs").text

    assert "https://" not in page
    assert httpx.get(f"{running.url}/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_sources(running: Exporter) -> None:
    httpx.get(f"{running.url}/metrics")

    assert {row["source"]: row["up"] for row in asked(running, "/api/sources")} == {"jetstream": True, "fleet": True}


async def test_the_api_has_the_authentication_of_the_page(bus: str, tmp_path: Any) -> None:
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  operator: {hashed}\n")
    with exporter(f"--web.config.file={file}", variables={"NATS_URL": bus}) as process:
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{process.url}/api/events")).status_code == 401
            assert (await client.get(f"{process.url}/docs")).status_code == 401
            known = httpx.BasicAuth("operator", SECRET)
            assert (await client.get(f"{process.url}/api/events", auth=known)).status_code == 200
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(process.url.replace("http", "ws") + "/ws")
        assert refused.value.response.status_code == 401


def test_without_events_the_api_reports_the_reason() -> None:
    with exporter(variables={"REDIS_URL": "redis://127.0.0.1:1"}) as process:
        for path in ("/api/councils", "/api/events", "/api/events/stream", "/api/stories/US-1", "/api/deliberations"):
            response = httpx.get(f"{process.url}{path}")

            assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
            assert "NATS_URL" in response.json()["detail"]


async def test_metrics_are_served_during_a_search(running: Exporter) -> None:
    async with httpx.AsyncClient() as client:
        asked_for = [client.get(f"{running.url}/api/events", params={"since": "1h"}) for _ in range(8)]
        statuses = {response.status_code for response in await asyncio.gather(*asked_for)}
        assert statuses <= {200, 429}
        assert 200 in statuses
