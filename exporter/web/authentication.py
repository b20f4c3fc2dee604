"""Basic authentication and response headers from `--web.config.file`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web import web_config
from exporter.web.passwords import Passwords, TooManyPasswords
from exporter.web.problem import problem

_REFUSAL_SECONDS = 0.5
"""Delay of the response to a wrong password, so that a client that guesses without a pause takes no time from scrapes."""
_MOST_DELAYED = 200
"""Requests delayed at once, because each holds a connection; more are refused immediately."""

log = logging.getLogger(__name__)


class Authentication:
    """Refuses requests without valid credentials and adds the headers; reads the file again when it changes."""

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self._app = app
        self._path = path
        self._config = web_config.read(path)
        self._changed = path.stat().st_mtime_ns
        self._passwords = Passwords()
        self._delayed = 0

    def _current(self) -> web_config.WebConfig:
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._changed:
                self._changed = changed  # first: a broken file is reported once
                self._config = web_config.read(self._path)
        except (OSError, web_config.WebConfigError) as error:
            log.error("reloading web.config.file failed; keeping the previous one", extra={"error": str(error)})
        return self._config

    async def _refusal(self, scope: Scope, users: Mapping[str, str]) -> Response | None:
        """The response to a client without valid credentials; after a delay for a wrong password."""
        given = web_config.credentials(Headers(scope=scope).get("authorization", ""))
        try:
            if given is not None:
                if await self._passwords.fits(users, *given):
                    return None
                await self._delay()
        except TooManyPasswords:
            await self._delay()
            return problem(429, "too many passwords are being checked; retry in a moment", headers={"retry-after": "1"})
        challenge = {"www-authenticate": 'Basic realm="fleet-exporter"'}
        return problem(401, "Authorization: expected a user and password of --web.config.file", headers=challenge)

    async def _delay(self) -> None:
        if self._delayed < _MOST_DELAYED:
            self._delayed += 1
            try:
                await asyncio.sleep(_REFUSAL_SECONDS)
            finally:
                self._delayed -= 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            self._passwords.close()
            return
        config = self._current()
        if config.basic_auth_users and (refusal := await self._refusal(scope, config.basic_auth_users)):
            await refusal(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(config.http_server_config.headers)
            await send(message)

        await self._app(scope, receive, with_headers)
