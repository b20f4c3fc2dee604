"""The read-only API under /api: what is known of the fleet, its events past and present, and the backends' figures.

Everything is a GET; nothing here changes anything anywhere. `/docs` describes it.
"""

from __future__ import annotations

from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from exporter import __version__
from exporter.events.broadcast import Tells
from exporter.fleet.registry import KnowsAgents
from exporter.scrape import Scraper
from exporter.sources.fleet import FleetEvents
from exporter.web.api import backends, events, fleet, live

_DESCRIPTION = """What a fleet of LLM agents does, read-only: its agents, councils and stories, its events as they come
and as its streams still hold them, and the figures of its backends. Times are RFC 3339 in UTC, durations in seconds,
sizes in bytes; null is "not known"."""


def api(scraper: Scraper) -> ASGIApp:
    """The API as an application of its own, its documentation served from here."""
    app = FastAPIOffline(title="fleet-exporter", version=__version__, description=_DESCRIPTION, redoc_url=None)
    following = next((source for source in scraper.sources if isinstance(source, FleetEvents)), None)
    others = [source for source in scraper.sources if isinstance(source, KnowsAgents)]
    streams = [source.live for source in scraper.sources if isinstance(source, Tells)]
    app.include_router(fleet.router(following, others))
    app.include_router(events.router(following, streams))
    app.include_router(live.router(following, streams))
    app.include_router(backends.router(scraper))
    return app
