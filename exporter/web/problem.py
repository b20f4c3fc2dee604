"""Errors as RFC 9457 problem details (`application/problem+json`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: Sequence[Mapping[str, str]] = ()
) -> Response:
    """A response with problem details; `errors` are invalid parameters."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers, MEDIA_TYPE)


async def http_problem(request: Request | WebSocket, error: Exception) -> Response | None:
    """Exception handler for HTTPException."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail
    if detail == phrase and error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"{request.url.path} does not exist; /docs lists all resources"
    response = problem(error.status_code, detail, headers=error.headers)
    if isinstance(request, WebSocket):
        await request.send_denial_response(response)
        return None
    return response


async def bug(_: Request, __: Exception) -> Response:
    """Exception handler of last resort; the server logs the traceback."""
    return problem(500, "the exporter failed to respond; its log has the cause, please report it")
