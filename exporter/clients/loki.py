"""Requests to one Loki: what fails is told by its reason."""

from __future__ import annotations

from typing import Any

import httpx

from exporter.config.address import Address
from exporter.errors import Reason, SourceError


class LokiClient:
    """A Loki at an address; `options` are httpx.AsyncClient's."""

    def __init__(self, address: Address, **options: Any) -> None:
        self.server = address.server
        self._client = httpx.AsyncClient(base_url=address.get_secret_value(), trust_env=False, **options)

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A reply of status 2xx, or 400 to a push. Raises SourceError."""
        try:
            reply = await self._client.request(method, path, **request)
        except httpx.TimeoutException:
            raise SourceError(Reason.TIMEOUT, f"Loki at {self.server} did not answer") from None
        except httpx.InvalidURL as error:
            raise SourceError(Reason.CONFIG, f"Loki at {self.server}: {error}") from None
        except (httpx.HTTPError, OSError) as error:
            raise SourceError(Reason.UNREACHABLE, f"Loki at {self.server}: {error or type(error).__name__}") from None
        if reply.is_success or (reply.status_code == httpx.codes.BAD_REQUEST and method == "POST"):
            return reply
        denied = reply.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
        reason = Reason.UNAUTHORIZED if denied else Reason.UNREACHABLE
        raise SourceError(reason, f"Loki at {self.server} answers {reply.status_code} to {path}")

    async def close(self) -> None:
        await self._client.aclose()
