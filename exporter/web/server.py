"""HTTP server: /metrics, landing page and health."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from exporter.config.web import Web
from exporter.metrics import process
from exporter.metrics.exposition import grouped, negotiated, rendered
from exporter.metrics.metric import Sample
from exporter.scrape import Scraper
from exporter.web import web_config
from exporter.web.authentication import Authentication
from exporter.web.certificate import reload_when_changed
from exporter.web.connections import limited_protocols
from exporter.web.deferred import DeferredApi
from exporter.web.landing import landing_page
from exporter.web.middleware import PAGE_POLICY, AllowedHosts, HeadAsGet, SecurityHeaders
from exporter.web.priority import Priority
from exporter.web.problem import bug, http_problem
from exporter.web.shutdown import end_now, limit_shutdown

DEFAULT_SCRAPE_TIMEOUT = 10.0
"""Prometheus' default, for clients that send no timeout."""

_GZIP_LEVEL = 1  # repeated names shrink to a tenth at the fastest level already
_SHUTDOWN_SECONDS = 1
"""Time for responses in progress after SIGTERM."""

_FLEET = "fleet"
"""The source whose events the landing page shows."""

log = logging.getLogger(__name__)


class StartError(Exception):
    """The exporter cannot listen; the message is one sentence."""


def budget(headers: Headers, offset: float) -> float:
    """Timeout of a scrape in seconds: Prometheus' timeout minus `offset`, at least 0.1."""
    try:
        timeout = float(headers.get("x-prometheus-scrape-timeout-seconds", DEFAULT_SCRAPE_TIMEOUT))
    except ValueError:
        timeout = DEFAULT_SCRAPE_TIMEOUT
    if not 0 < timeout < 3600:
        timeout = DEFAULT_SCRAPE_TIMEOUT
    return max(timeout - offset, 0.1)


def application(scraper: Scraper, options: Web) -> ASGIApp:
    """The HTTP server for a Scraper, which the caller opens and closes."""
    served, priority = asyncio.Event(), Priority()

    async def metrics(request: Request) -> Response:
        with priority.scrape():
            samples = await scraper.read(budget(request.headers, options.timeout_offset))
            return await page(samples, request)

    async def page(samples: list[Sample], request: Request) -> Response:
        page_format = negotiated(request.headers.get("accept", ""))
        groups = grouped([*samples, *scraper.kept(process.samples(scraper.shard))])
        page = rendered(groups, page_format, frozenset(request.query_params.getlist("name[]")))
        served.set()
        headers = {"content-type": page_format.value, "vary": "Accept, Accept-Encoding"}
        if _accepts_gzip(request.headers.get("accept-encoding", "")):
            page = await asyncio.to_thread(gzip.compress, page, _GZIP_LEVEL, mtime=0)
            headers["content-encoding"] = "gzip"
        return Response(page, headers=headers)

    async def landing(_: Request) -> Response:
        live = any(source.kind == _FLEET for source in scraper.sources)
        page = landing_page(scraper.states, live=live, shard=scraper.shard)
        return HTMLResponse(page, headers={"content-security-policy": PAGE_POLICY})

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("The exporter is healthy.\n")

    async def ready(_: Request) -> Response:
        if served.is_set():
            return PlainTextResponse("The exporter is ready.\n")
        return PlainTextResponse("The first collection is still in progress.\n", status_code=503)

    async def warm_up() -> None:
        # Ready means that a scrape succeeds; a scraper may wait for readiness.
        await scraper.read(budget(Headers(), options.timeout_offset))
        served.set()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(scraper.run(), name="watch"), group.create_task(warm_up(), name="first scrape")]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
        await scraper.close()

    routes = [
        Route("/metrics", metrics),
        Route("/", landing),
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Mount("/static", StaticFiles(packages=[("exporter.web", "static")])),
        Mount("/", DeferredApi(scraper, priority)),
    ]
    handlers = {HTTPException: http_problem, Exception: bug}
    app: ASGIApp = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)  # type: ignore[arg-type]  # Starlette's type is of handlers of any Exception
    guarded: ASGIApp = HeadAsGet(Authentication(app, options.config_file) if options.config_file else app)
    return SecurityHeaders(AllowedHosts(guarded, options.hosts) if options.hosts is not None else guarded)


def _accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip. Starlette's GZipMiddleware reads no quality, so it also compresses for `gzip;q=0`."""
    for part in accept_encoding.lower().split(","):
        coding, _, quality = part.strip().partition(";")
        if coding.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


class _UvicornServer(uvicorn.Server):
    """uvicorn with the signal handlers of the event loop, to close connections and tasks first.

    After the first signal, live streams end and shutdown has a time limit; a second signal ends the process immediately.

    """

    def __init__(self, config: uvicorn.Config, scraper: Scraper) -> None:
        super().__init__(config)
        self._scraper = scraper

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: signal.Signals) -> None:
        loop = asyncio.get_running_loop()
        if self.should_exit:
            end_now("second signal; exiting immediately", loop)
        log.info("stopping", extra={"signal": number.name})
        self.should_exit = True
        limit_shutdown(loop)
        for source in self._scraper.sources:
            source.disconnect_clients()


def listening_socket(options: Web) -> socket.socket:
    """The bound socket; all interfaces of both families without a host. Raises StartError."""
    try:
        if not options.host and socket.has_dualstack_ipv6():
            return socket.create_server(("", options.port), family=socket.AF_INET6, dualstack_ipv6=True)
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]  # repeats the address
    except OverflowError as error:
        reason = str(error)
    raise StartError(f"--web.listen-address {options.listen_address}: {reason}; choose another with --web.listen-address")


async def serve(scraper: Scraper, options: Web) -> None:
    """Serve until SIGINT or SIGTERM. Raises StartError or WebConfigError before serving."""
    app = application(scraper, options)
    http, websocket = limited_protocols()
    config = uvicorn.Config(
        app,
        http=http,
        ws=websocket,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    config.load()
    tls_files: tuple[Path, ...] = ()
    if options.config_file is not None and (tls := web_config.read(options.config_file).tls_server_config):
        folder = options.config_file.parent
        config.ssl = web_config.tls_context(tls, folder)
        tls_files = (folder / tls.cert_file, folder / tls.key_file)
    listener = listening_socket(options)
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls_files else "http"
    log.info("listening", extra={"address": f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"})
    server = _UvicornServer(config, scraper)
    rotation = asyncio.create_task(reload_when_changed(config.ssl, tls_files)) if tls_files and config.ssl else None
    try:
        await server.serve(sockets=[listener])
    finally:
        if rotation is not None:
            rotation.cancel()
        listener.close()
