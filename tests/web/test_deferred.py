"""The API that is imported at its first request: every one of its paths leads there."""

from __future__ import annotations

from starlette.routing import Mount, Route, WebSocketRoute

from exporter.scrape import Scraper
from exporter.web.api import api
from exporter.web.deferred import PATHS
from exporter.web.priority import Priority


def test_every_path_of_the_api_leads_to_it() -> None:
    application = api(Scraper([]), Priority())
    documented = set(application.openapi()["paths"])
    paths = {route.path for route in application.routes if isinstance(route, Mount | Route | WebSocketRoute)}

    assert {path for path in documented | paths if not path.startswith(PATHS)} == set()
    assert len(documented) > 10
