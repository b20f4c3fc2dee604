"""Requests to one Loki, with bounded responses and a total timeout."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx

from exporter.clients.http_errors import failure_of_http
from exporter.config.address import Address
from exporter.errors import Reason, SourceError, network_cause

_LARGEST_RESPONSE = 16 * 1024 * 1024
_LONGEST_SENTENCE = 200
_LONGEST_RETRY_AFTER = 60.0

_FINAL = (httpx.codes.BAD_REQUEST, httpx.codes.REQUEST_ENTITY_TOO_LARGE)
_SMALLER = (*_FINAL, httpx.codes.TOO_MANY_REQUESTS, httpx.codes.INTERNAL_SERVER_ERROR)


@dataclass(frozen=True)
class LokiResponse:
    """A response with status 2xx."""

    content: bytes


class PushRefused(Exception):
    """Loki rejected a push: status, Loki's message, and seconds from Retry-After if sent."""

    def __init__(self, server: str, status: int, sentence: str, retry_after: float | None) -> None:
        super().__init__(f"Loki at {server} returned {status} to a push: {sentence or 'no reason given'}")
        self.status = status
        self.retry_after = retry_after

    @property
    def may_pass_if_smaller(self) -> bool:
        """Whether fewer entries may be accepted: too large, one invalid entry, or a rate limit."""
        return self.status in _SMALLER

    @property
    def is_final(self) -> bool:
        """Whether a single entry is rejected permanently."""
        return self.status in _FINAL

    @property
    def is_rate_limit(self) -> bool:
        return self.status == httpx.codes.TOO_MANY_REQUESTS


class LokiClient:
    """A Loki at an address; `options` are arguments of httpx.AsyncClient."""

    def __init__(self, address: Address, *, timeout: float, **options: Any) -> None:
        self.server = address.server
        self._timeout = timeout
        self._client = httpx.AsyncClient(base_url=address.get_secret_value(), trust_env=False, timeout=timeout, **options)

    async def get(self, path: str, params: dict[str, str] | None = None) -> LokiResponse:
        """A response with status 2xx. Raises SourceError."""
        status, content, _ = await self._request("GET", path, params=params)
        if httpx.codes.is_success(status):
            return LokiResponse(content)
        raise SourceError(_reason(status), f"Loki at {self.server} returned {status} for {path}: {_sentence(content)}")

    async def push(self, body: bytes, *, encoding: str) -> None:
        """Send a push body. Raises PushRefused, or SourceError if Loki cannot be reached or refuses the credentials."""
        headers = {"content-type": "application/json", "content-encoding": encoding}
        status, content, retry_after = await self._request("POST", "/loki/api/v1/push", content=body, headers=headers)
        if httpx.codes.is_success(status):
            return
        refused = PushRefused(self.server, status, _sentence(content), retry_after)
        if refused.may_pass_if_smaller:
            raise refused
        raise SourceError(_reason(status), str(refused))

    async def _request(self, method: str, path: str, **request: Any) -> tuple[int, bytes, float | None]:
        try:
            async with asyncio.timeout(self._timeout), self._client.stream(method, path, **request) as response:
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > _LARGEST_RESPONSE:
                        sentence = f"Loki at {self.server} returned more than {_LARGEST_RESPONSE} bytes for {path}"
                        raise SourceError(Reason.MALFORMED, sentence)
                return response.status_code, bytes(content), _seconds(response.headers.get("retry-after", ""))
        except TimeoutError:
            raise SourceError(Reason.TIMEOUT, f"Loki at {self.server}: expected a response in time, got none") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise failure_of_http(f"Loki at {self.server}", error) from None
        except OSError as error:
            raise SourceError(Reason.UNREACHABLE, f"Loki at {self.server}: {network_cause(error)}") from None

    async def close(self) -> None:
        await self._client.aclose()


def _reason(status: int) -> Reason:
    return Reason.UNAUTHORIZED if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) else Reason.UNREACHABLE


def _sentence(content: bytes) -> str:
    """The start of Loki's error message, as one line."""
    return " ".join(content[: 4 * _LONGEST_SENTENCE].decode("utf-8", "replace").split())[:_LONGEST_SENTENCE]


def _seconds(retry_after: str) -> float | None:
    """Retry-After as seconds from now, at most a minute; None if absent or malformed."""
    if retry_after.strip().isdecimal():
        return min(float(retry_after), _LONGEST_RETRY_AFTER)
    try:
        return min(max(parsedate_to_datetime(retry_after).timestamp() - time(), 0.0), _LONGEST_RETRY_AFTER)
    except ValueError:
        return None
