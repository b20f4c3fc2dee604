"""Pushes events to Grafana Live in InfluxDB line protocol, several times per second. Opt-in.

Events that Grafana does not accept are dropped and counted; nothing waits for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from exporter.clients.backoff import Backoff
from exporter.events.broadcast import EventBroadcaster, listening_within
from exporter.events.model import Event
from exporter.events.redaction import summary
from exporter.metrics.metric import Metric, counter

if TYPE_CHECKING:
    import httpx

PUSHED = counter("fleet_exporter_grafana_live_events_total", "Events pushed to Grafana Live.")
FAILED = counter("fleet_exporter_grafana_live_failures_total", "Failed pushes to Grafana Live.")
METRICS: Final[tuple[Metric, ...]] = (PUSHED, FAILED)

MEASUREMENT = "events"
_EVERY = 0.25
_AT_MOST = 500
_TIMEOUT = 2.0
_TAG = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\n": " ", "\r": " ", "\\": "/"})
_FIELD = str.maketrans({'"': r"\"", "\\": r"\\", "\n": " ", "\r": " "})


def line(event: Event) -> str:
    """One event: family, outcome and role as tags; IDs and summary as fields; nanoseconds since 1970."""
    tags = {"family": event.family, "outcome": event.outcome, "role": event.role}
    texts = {
        "type": event.kind,
        "producer": event.producer,
        "story": event.story,
        "task": event.task,
        "agent": event.agent,
        "what": summary(event),
    }
    head = ",".join([MEASUREMENT, *(f"{name}={value.translate(_TAG)}" for name, value in tags.items() if value)])
    fields = [f'{name}="{value.translate(_FIELD)}"' for name, value in texts.items() if value]
    if event.duration is not None:
        fields.append(f"duration_seconds={event.duration!r}")
    if event.tokens is not None:
        fields.append(f"tokens={event.tokens}i")
    return f"{head} {','.join(fields)} {round(event.stored * 1e9)}"


class GrafanaLive:
    """Pushes to `{url}/api/live/push/{stream}` with a service account's token."""

    def __init__(self, url: str, token: str, stream: str) -> None:
        self._address = f"{url.rstrip('/')}/api/live/push/{stream}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._delays = Backoff(first=0.5, longest=10.0)
        self.pushed = 0
        self.failed = 0

    async def run(self, live: EventBroadcaster) -> None:
        """Push until cancelled; after falling behind, continue with new events."""
        import httpx

        async with httpx.AsyncClient(headers=self._headers, timeout=_TIMEOUT, trust_env=False) as client:
            while True:
                with listening_within([live]) as listening:
                    while (first := await listening.next()) is not None:
                        await asyncio.sleep(_EVERY)
                        await self._push(client, [first, *listening.waiting(_AT_MOST)])

    async def _push(self, client: httpx.AsyncClient, events: list[Event]) -> None:
        import httpx

        try:
            response = await client.post(self._address, content="\n".join(line(event) for event in events).encode())
            response.raise_for_status()
            self.pushed += len(events)
            self._delays.reset()
        except (httpx.HTTPError, httpx.InvalidURL):
            self.failed += 1
            await asyncio.sleep(self._delays.next())
