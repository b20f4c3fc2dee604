"""The last log lines of a job, from the dashboard of its Ray cluster (`/api/jobs/<id>/logs`)."""

from __future__ import annotations

import httpx
import msgspec

LINES = 20
_SECONDS = 3.0
_LARGEST = 4 * 1024 * 1024
"""Max. bytes of a log; the end of a longer log is not returned, and the response says so."""
_LONGEST_LINE = 2000


class _LogsResponse(msgspec.Struct):
    logs: str = ""


class LogsMissing(Exception):
    """Log lines are not available; the message is one sentence."""


def last_lines(body: bytes) -> list[str]:
    """The response's last lines. Raises LogsMissing if it is not from a Ray dashboard."""
    try:
        text = msgspec.json.decode(body, type=_LogsResponse).logs
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise LogsMissing("the Ray dashboard: expected a job API response, got something else") from None
    return [line[:_LONGEST_LINE] for line in text.splitlines()[-LINES:]]


async def read(dashboard: str, job_id: str) -> list[str]:
    """The last 20 lines. `dashboard` is host:port or a URL. Raises LogsMissing."""
    base = dashboard if dashboard.startswith(("http://", "https://")) else f"http://{dashboard}"
    try:
        async with (
            httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client,
            client.stream("GET", f"{base.rstrip('/')}/api/jobs/{job_id}/logs") as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise LogsMissing(f"the Ray dashboard at {dashboard} returned {response.status_code}")
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST:
                    raise LogsMissing(f"the log is larger than {_LARGEST // 1024 // 1024} MiB; read it in the Ray dashboard")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LogsMissing(f"the Ray dashboard at {dashboard} cannot be reached ({type(error).__name__})") from None
    return last_lines(body)
