"""The read-only API under /api: the state of the fleet, its past and live events, and the state of its backends.

Every resource is a GET; none changes anything. `/docs` describes them.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from exporter import __version__
from exporter.events.broadcast import PublishesEvents
from exporter.fleet.registry import KnowsAgents
from exporter.scrape import Scraper
from exporter.sources.fleet import FleetEvents
from exporter.web.api import backends, events, fleet, live, problems
from exporter.web.api.search import Searches
from exporter.web.middleware import PAGE_POLICY
from exporter.web.priority import Priority

_DESCRIPTION = """Read-only view of a fleet of LLM agents: agents, councils, stories, past and live events, and the
state of the backends. Times are RFC 3339 in UTC, durations in seconds, sizes in bytes; `null` means unknown. Errors are
problem details (RFC 9457). An unknown query parameter is refused with status 422."""

_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fleet-exporter API</title><link rel="icon" href="data:,">
<script src="static/color-scheme.js"></script>
<link rel="stylesheet" href="static-offline-docs/swagger-ui.css"><link rel="stylesheet" href="static/docs.css">
</head><body><div id="swagger-ui"></div>
<script src="static-offline-docs/swagger-ui-bundle.js"></script><script src="static/docs.js"></script>
</body></html>
"""


def api(scraper: Scraper, priority: Priority) -> FastAPI:
    """The API as a separate application, with its documentation at /docs."""
    app: FastAPI = FastAPIOffline(docs_url=None, title="fleet-exporter", version=__version__, description=_DESCRIPTION)
    problems.install(app)
    following = next((source for source in scraper.sources if isinstance(source, FleetEvents)), None)
    others = [source for source in scraper.sources if isinstance(source, KnowsAgents)]
    streams = [source.live for source in scraper.sources if isinstance(source, PublishesEvents)]
    app.include_router(fleet.router(following, others))
    searches = Searches(following, streams, priority) if streams else None
    app.include_router(events.router(following, searches))
    app.include_router(live.router(following, streams, searches, priority))
    app.include_router(backends.router(scraper))

    @app.get("/docs", include_in_schema=False)
    async def docs(_: Request) -> Response:
        # Swagger UI sets inline styles; its scripts come from files.
        policy = PAGE_POLICY + "; style-src 'self' 'unsafe-inline'"
        return HTMLResponse(_DOCS, headers={"content-security-policy": policy})

    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        _, schemas = models_json_schema([(problems.Problem, "serialization")], ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schemas["$defs"]
        document["paths"]["/ws"] = live.websocket_description(document["paths"]["/api/events/stream"]["get"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way to extend its document
    return app
