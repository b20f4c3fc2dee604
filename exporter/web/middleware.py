"""Middleware: security headers on every response, and HEAD for every resource with GET."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.problem import problem

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of the exporter's pages: scripts and styles from files only."""

_DEFAULTS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class SecurityHeaders:
    """Security headers on every response, unless the response or `http_server_config.headers` sets them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in _DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class AllowedHosts:
    """Refuses requests for another host with 421."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Without the header, as in HTTP/1.0, it is no browser: those always send one.
        host = None if scope["type"] == "lifespan" else Headers(scope=scope).get("host")
        if host is None or _host(host) in self._hosts:
            await self._app(scope, receive, send)
            return
        refusal = problem(421, "Host: expected a host of --web.allowed-hosts; add this one if it is yours")
        await refusal(scope, receive, send)


def _host(header: str) -> str:
    """The header without its port and brackets, in lower case."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


class HeadAsGet:
    """Responds to HEAD like GET without the body. A stream ends after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        responded = asyncio.Event()

        async def headers_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not responded.is_set():
                await send({"type": "http.response.body", "body": b""})
                responded.set()

        async def respond() -> None:
            try:
                await self._app({**scope, "method": "GET"}, receive, headers_only)
            finally:
                responded.set()

        work = asyncio.create_task(respond())
        try:
            await responded.wait()
        finally:
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work  # raises errors that occurred before the response started
