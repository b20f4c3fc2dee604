"""The API, imported at the first request for it: FastAPI and its schemas cost more than one polled source."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.scrape import Scraper
from exporter.web.priority import Priority

PATHS = ("/api", "/docs", "/openapi.json", "/redoc", "/static-offline-docs", "/ws")
"""How the paths of the API and of its documentation begin; any other path does not exist."""


class DeferredApi:
    """The application of `exporter.web.api`, built once: at the start if a source has live events, whose page needs it.

    Otherwise at the first request, in a thread, so that scrapes do not wait for it.

    """

    def __init__(self, scraper: Scraper, priority: Priority) -> None:
        self._scraper = scraper
        self._priority = priority
        self._lock = asyncio.Lock()
        has_events = any(hasattr(source, "live") for source in scraper.sources)  # PublishesEvents, without its imports
        self._api: ASGIApp | None = self._build() if has_events else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(PATHS):
            raise HTTPException(404)
        await (self._api or await self._imported())(scope, receive, send)

    async def _imported(self) -> ASGIApp:
        async with self._lock:
            if self._api is None:
                self._api = await asyncio.to_thread(self._build)
            return self._api

    def _build(self) -> ASGIApp:
        from exporter.web.api import api

        return api(self._scraper, self._priority)
