"""Parameters, errors and HEAD of every resource, as in the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import websockets

from tests.support.process import Exporter

PROBLEM = "application/problem+json"


def described(running: Exporter) -> dict[str, Any]:
    paths: dict[str, Any] = httpx.get(f"{running.url}/openapi.json").json()["paths"]
    return paths


def http_paths(running: Exporter) -> list[str]:
    return [re.sub(r"\{[^}]+\}", "x", path) for path in described(running) if path != "/ws"]


def test_every_resource_refuses_an_unknown_parameter_by_name(running: Exporter) -> None:
    paths = http_paths(running)
    assert len(paths) > 15
    for path in paths:
        response = httpx.get(f"{running.url}{path}", params={"sinc": "5m"})

        assert (path, response.status_code, response.headers["content-type"]) == (path, 422, PROBLEM)
        assert response.json()["errors"] == [
            {"parameter": "sinc", "detail": "unknown parameter; /docs lists the parameters of each resource"}
        ]


async def test_the_web_socket_refuses_an_unknown_parameter_by_name(running: Exporter) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(running.url.replace("http", "ws") + "/ws?sinc=5m")
    assert refused.value.response.status_code == 422
    assert b"sinc: unknown parameter" in (refused.value.response.body or b"")


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/api/ray/jobs", {"status": "BROKEN"}, "status: expected one of New, PENDING, RUNNING"),
        ("/api/agents", {"state": "bogus"}, "state: expected one of assigned, completed, deliberating"),
        ("/api/agents", {"system": "bogus"}, "system: expected one of fleet, board, broker, got 'bogus'"),
        ("/api/agents", {"role": "x" * 41}, "role: "),
        ("/api/events", {"limit": "0"}, "limit: input should be greater than or equal to 1, got '0'"),
        ("/api/events", {"limit": "many"}, "limit: "),
        ("/api/events", {"outcome": "great"}, "outcome: "),
        ("/api/events/stream", {"speed": "-1"}, "speed: "),
        ("/api/events/stream", {"replay": "soon"}, "replay: expected a duration"),
        ("/api/costs", {"days": "0", "format": "xml"}, "format: "),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(
    running: Exporter, path: str, query: dict[str, str], words: str
) -> None:
    response = httpx.get(f"{running.url}{path}", params=query)

    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
    assert words in response.json()["detail"]
    assert {error["parameter"] for error in response.json()["errors"]} == query.keys()


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere", "/static/nowhere.js", "/api/agents/missing"])
def test_a_missing_object_is_a_problem_document(running: Exporter, path: str) -> None:
    response = httpx.get(f"{running.url}{path}")

    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    assert response.json()["title"] == "Not Found"
    assert response.json()["status"] == 404
    assert response.json()["detail"] not in ("", "Not Found")


def test_head_returns_the_headers_of_get(running: Exporter) -> None:
    pages = ["/", "/metrics", "/docs", "/openapi.json", "/-/healthy", "/-/ready", "/static/page.css"]
    for path in [*pages, *http_paths(running)]:
        with httpx.stream("GET", f"{running.url}{path}") as got:
            head = httpx.head(f"{running.url}{path}")

            assert (path, head.status_code, head.content) == (path, got.status_code, b"")
            assert head.headers["content-type"] == got.headers["content-type"]


def test_every_response_has_security_headers(running: Exporter) -> None:
    pages = ["/", "/metrics", "/docs", "/openapi.json", "/-/healthy", "/static/page.css", "/nowhere", "/api/events?x=y"]
    for path in [*pages, *http_paths(running)]:
        with httpx.stream("GET", f"{running.url}{path}") as response:
            headers = response.headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))

        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert policy["frame-ancestors"] == "'none'", path
        assert policy["default-src"] in ("'none'", "'self'"), path
        assert "unsafe" not in policy.get("script-src", ""), path


def test_the_openapi_document_has_the_web_socket_and_every_error(running: Exporter) -> None:
    paths = described(running)
    for path, operations in paths.items():
        responses = operations["get"]["responses"]
        assert {"401", "422", "500"} <= responses.keys(), path
        for status, response in responses.items():
            if status >= "400":
                assert list(response["content"]) == [PROBLEM], (path, status)

    socket = paths["/ws"]["get"]
    assert "101" in socket["responses"]
    assert {"replay", "speed", "story"} <= {parameter["name"] for parameter in socket["parameters"]}
    assert "fleet" not in {parameter["name"] for parameter in socket["parameters"]}


def test_responses_have_only_documented_statuses(running: Exporter) -> None:
    for template, operations in described(running).items():
        if template != "/ws":
            path = re.sub(r"\{[^}]+\}", "x", template)
            with httpx.stream("GET", f"{running.url}{path}") as response:
                assert str(response.status_code) in operations["get"]["responses"], template


def test_lists_are_filtered_and_limited(running: Exporter) -> None:
    def ids(path: str, **query: str | int) -> list[str]:
        return [str(row["id"]) for row in httpx.get(f"{running.url}{path}", params=query).json()]

    assert ids("/api/agents", role="dev", limit=1) == ["agent-dev-001"]
    assert ids("/api/agents", system="fleet", state="FAILED") == ["agent-qa-001"]
    assert ids("/api/stories", stage="draft") == ["US-1"]
    assert ids("/api/stories", stage="DONE") == []
    assert [one["role"] for one in httpx.get(f"{running.url}/api/councils", params={"role": "qa"}).json()] == ["QA"]
    httpx.get(f"{running.url}/metrics")
    rows = httpx.get(f"{running.url}/api/sources", params={"source": "fleet", "up": "true"}).json()
    assert [row["source"] for row in rows] == ["fleet"]
