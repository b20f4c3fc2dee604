"""The healthy demo under the production rules: alerts that fired, and alerts that are pending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx

from alerts.alertmanager.routes import WATCHDOG

SCRAPE_SECONDS: Final = 15
"""As in production; the demo's own interval is shorter."""
_REPORT_SECONDS: Final = 60.0


async def alerts_during(prometheus: str, minutes: float, say: Callable[[str], None]) -> list[str]:
    """One line for each alert that fired within these minutes, or is pending at their end, except the heartbeat."""
    began = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, base_url=prometheus, timeout=30) as client:
        while (left := began + minutes * 60 - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _REPORT_SECONDS))
            now = await _alerts(client, f'ALERTS{{alertname!="{WATCHDOG}"}}')
            say(f"{(time.monotonic() - began) / 60:.0f} of {minutes:g} minutes: {', '.join(now) or 'no alert'}")
        window = f"{max(int(time.monotonic() - began), 1)}s"
        fired = f'max_over_time(ALERTS{{alertname!="{WATCHDOG}",alertstate="firing"}}[{window}])'
        pending = f'ALERTS{{alertname!="{WATCHDOG}",alertstate="pending"}}'
        return [*await _alerts(client, fired), *await _alerts(client, pending)]


async def _alerts(client: httpx.AsyncClient, query: str) -> list[str]:
    """`alertname (state) labels` of each series of the result."""
    response = (await client.get("/api/v1/query", params={"query": query})).raise_for_status().json()
    found = []
    for series in response["data"]["result"]:
        labels = {name: value for name, value in series["metric"].items() if name not in _NOT_SHOWN}
        shown = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        found.append(f"{series['metric']['alertname']} ({series['metric']['alertstate']}) {shown}")
    return sorted(found)


_NOT_SHOWN: Final = frozenset({"__name__", "alertname", "alertstate", "severity", "component", "job"})
