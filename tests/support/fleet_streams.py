"""The event reader on a separate NATS server, and a publisher."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.fleet import FleetEvents, FleetOptions
from tests.support.pages import followed, page_showing, samples_of, series


@dataclass
class Fleet:
    """A client that publishes, and the reader's page."""

    client: Client
    js: JetStreamContext

    async def stream(self, name: str, *subjects: str, **more: Any) -> None:
        await self.js.add_stream(name=name, subjects=list(subjects), **more)

    async def says(self, subject: str, **body: Any) -> None:
        await self.js.publish(subject, json.dumps(body).encode())


@asynccontextmanager
async def fleet_on(url: str) -> AsyncIterator[Fleet]:
    client = await nats.connect(url)
    try:
        yield Fleet(client, client.jetstream())
    finally:
        await client.close()


@dataclass
class Reader:
    source: FleetEvents

    async def page(self) -> dict[str, float]:
        return series(await samples_of(self.source))

    async def shows(self, name: str, value: float) -> dict[str, float]:
        """The first page on which a series has that value."""
        return await page_showing(self.source, name, value)


def events(subject: str, **more: str) -> str:
    """The series that counts the events of a subject."""
    family = subject.partition(".")[0]
    labels = {"family": family, "subject": subject, "producer": "planning-service", "outcome": "none"} | more
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"fleet_events_total{{{inner}}}"


@asynccontextmanager
async def reading(url: str, **options: Any) -> AsyncIterator[Reader]:
    source = FleetEvents(FleetOptions.model_validate({"url": (Address(url),), "timeout": 5, **options}))
    async with followed(source):
        yield Reader(source)


CREATED = events("planning.story.created")


async def has_consumers(fleet: Fleet, number: int) -> bool:
    return len(await fleet.js.consumers_info("PLANNING_EVENTS")) == number


async def fails(reader: Reader, reason: Reason, words: str = "") -> bool:
    try:
        await reader.page()
    except SourceError as error:
        return error.reason is reason and words in str(error)
    return False
