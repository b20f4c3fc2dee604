"""Problem details of the API: their schema, and those of invalid parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from exporter.errors import SourceError
from exporter.web.problem import MEDIA_TYPE, bug, http_problem, problem

# fastapi-problem-details was evaluated: its `detail` of invalid requests is a constant that names no parameter.

_LONGEST_VALUE = 100


class ParameterProblem(BaseModel):
    """An invalid parameter."""

    parameter: str = Field(description="Name of the parameter.")
    detail: str = Field(description="Expected and received value.")


class Problem(BaseModel):
    """Problem details for HTTP APIs (RFC 9457)."""

    type: str = Field("about:blank", description="URI of the problem type; `about:blank`: described by the status.")
    title: str = Field(description="The status as text.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="Expected and received value, and the fix.")
    errors: list[ParameterProblem] = Field([], description="Invalid parameters (422 only).")


_MEANINGS = {
    401: "Credentials are missing or wrong (with `--web.config.file`).",
    404: "The object does not exist, or its source is not configured.",
    422: "A parameter is unknown or has an invalid value; `detail` names it.",
    429: "Too many requests are in progress; retry after `Retry-After` seconds.",
    500: "A bug in the exporter; its log has the cause.",
    502: "The backend failed; `detail` has its message.",
    503: "Not ready yet; retry after `Retry-After` seconds.",
}
EVERYWHERE = (401, 422, 500)
"""Statuses that every resource can return."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI, in addition to the responses of every resource."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in sorted({*EVERYWHERE, *statuses})}


def parameter_problems(errors: Sequence[Any]) -> list[ParameterProblem]:
    """Validation errors from pydantic by parameter."""
    found = []
    for error in errors:
        name = str(error["loc"][-1])
        if error["type"] == "extra_forbidden":
            detail = "unknown parameter; /docs lists the parameters of each resource"
        else:
            message = str(error["msg"]).removeprefix("Value error, ")
            value = repr(error.get("input"))
            value = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"
            detail = f"{message[:1].lower()}{message[1:]}, got {value}"
        found.append(ParameterProblem(parameter=name, detail=detail))
    return found


def refused(parameter: str, expected: str, got: object) -> RequestValidationError:
    """The exception for a parameter that only the route can validate."""
    return RequestValidationError([{"type": "value_error", "loc": ("query", parameter), "msg": expected, "input": got}])


def _invalid(errors: Sequence[Any]) -> Response:
    found = parameter_problems(errors)
    detail = "; ".join(f"{error.parameter}: {error.detail}" for error in found)
    return problem(422, detail, errors=[error.model_dump() for error in found])


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _invalid(error.errors())


async def _websocket_validation(websocket: WebSocket, error: Exception) -> None:
    assert isinstance(error, WebSocketRequestValidationError)
    await websocket.send_denial_response(_invalid(error.errors()))


async def _source(_: Request, error: Exception) -> Response:
    return problem(502, str(error))


def install(app: FastAPI) -> None:
    """Use problem details for all errors of an application, and describe them in its OpenAPI document."""
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(WebSocketRequestValidationError, _websocket_validation)
    app.add_exception_handler(HTTPException, http_problem)  # type: ignore[arg-type]  # Starlette's type is of handlers of any Exception
    app.add_exception_handler(SourceError, _source)
    app.add_exception_handler(Exception, bug)
