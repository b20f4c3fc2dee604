"""Serves the repository's documentation as HTML, so that the runbook and dashboard links of the demo's alerts work.

`/runbooks/<Alert>.md` is a runbook, `/d/<uid>` the reference of a dashboard; other paths are files of the repository.
"""

from __future__ import annotations

import contextlib
import html
import itertools
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvicorn
from markdown_it import MarkdownIt
from markdown_it.token import Token
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from servers.process import listening, wait_for

_ROOT: Final = Path(__file__).parents[2]
_FOLDERS = ("docs", "benchmarks", "deploy")
_FILES = {".png", ".json", ".yaml"}
_DASHBOARD = re.compile(r"`/d/(?P<uid>[\w-]+)`")

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54em; margin: 2em auto; padding: 0 1.2em; overflow-wrap: anywhere }
table { border-collapse: collapse; display: block; overflow-x: auto } th, td { border: 1px solid #8886; padding: .3em .6em }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #8882; border-radius: 4px } code { padding: .1em .3em }
thead:not(:has(th:not(:empty))) { display: none }
pre { padding: .8em; overflow-x: auto } pre code { background: none; padding: 0 } img { max-width: 100% }
nav { border-bottom: 1px solid #8886; padding-bottom: .5em; margin-bottom: 1.5em } nav a { margin-right: 1em }
"""
_LINKS = {"Documentation": "/docs/README.md", "Alerts": "/docs/alerts.md", "Dashboards": "/docs/dashboards.md"}


def rendered(text: str) -> str:
    """Markdown as a page of HTML; headings have the anchors that GitHub gives them."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text)
    title = "fleet-exporter"
    taken: dict[str, int] = {}
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(inline, taken))
            if token.tag == "h1":
                title = _plain(inline)
    links = "".join(f'<a href="{path}">{name}</a>' for name, path in _LINKS.items())
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><nav>{links}</nav>{body}</body></html>"
    )


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _anchor(inline: Token, taken: dict[str, int]) -> str:
    """In lower case, without punctuation, spaces as hyphens; numbered from the second of a name."""
    name = re.sub(r"[^\w\- ]", "", _plain(inline).lower()).replace(" ", "-")
    number = taken.get(name, 0)
    taken[name] = number + 1
    return f"{name}-{number}" if number else name


def _section(uid: str) -> str | None:
    """The anchor of a dashboard in docs/dashboards.md."""
    heading = ""
    for line in (_ROOT / "docs/dashboards.md").read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif (found := _DASHBOARD.search(line)) and found["uid"] == uid:
            return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return None


def _missing(path: str) -> Response:
    return HTMLResponse(rendered(f"# Not found\n\nThere is no page `{html.escape(path)}`."), status_code=404)


async def _dashboard(request: Request) -> Response:
    anchor = _section(request.path_params["uid"])
    return RedirectResponse(f"/docs/dashboards.md#{anchor}") if anchor else _missing(request.url.path)


async def _runbook(request: Request) -> Response:
    return _page(f"docs/runbooks/{request.path_params['path']}")


async def _any(request: Request) -> Response:
    return _page(request.path_params["path"])


def _page(path: str) -> Response:
    file = (_ROOT / path).resolve()
    if not file.is_relative_to(_ROOT) or not file.is_file():
        return _missing(path)
    place = file.relative_to(_ROOT)
    if place.suffix == ".md" and (len(place.parts) == 1 or place.parts[0] in _FOLDERS):
        return HTMLResponse(rendered(file.read_text()))
    if place.suffix in _FILES and place.parts[0] in _FOLDERS:
        return FileResponse(file)
    return _missing(path)


async def _start(_: Request) -> Response:
    return RedirectResponse("/docs/README.md")


def application() -> Starlette:
    routes = [
        Route("/", _start),
        Route("/d/{uid}", _dashboard),
        Route("/d/{uid}/{name}", _dashboard),
        Route("/runbooks/{path:path}", _runbook),
        Route("/{path:path}", _any),
    ]
    return Starlette(routes=routes)


@contextlib.contextmanager
def start(port: int) -> Iterator[str]:
    """Serve on that port of 127.0.0.1; gives the URL."""
    config = uvicorn.Config(
        application(), host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="documentation")
    thread.start()
    try:
        wait_for(lambda: listening(port), what="the documentation to be served")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
