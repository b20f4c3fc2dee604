"""A replay holds its slot for a limited time, however low its speed."""

from __future__ import annotations

import json
import sys

import httpx

from servers.nats import Nats
from tests.support.fleet_streams import fleet_on
from tests.support.pages import eventually
from tests.support.process import exporter

PROGRAM = (
    "import sys, exporter.web.api.live as live; live.REPLAY_SECONDS = 1.0;"
    "from exporter.cli import main; sys.exit(main(sys.argv[1:]))"
)


async def ends(client: httpx.AsyncClient, url: str, speed: str) -> str:
    """The last event of a replay, after which the server ends it or live events start."""
    async with client.stream("GET", f"{url}/api/events/stream", params={"replay": "1h", "speed": speed}) as response:
        kind = ""
        async for line in response.aiter_lines():
            kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
            if kind == "replayed":
                return kind
            if line.startswith("data: ") and kind == "error":
                return str(json.loads(line.removeprefix("data: "))["error"])
    return kind


async def test_a_replay_with_a_low_speed_ends_and_frees_its_slot(server: Nats) -> None:
    async with fleet_on(server.url) as fleet, httpx.AsyncClient(timeout=60) as client:
        await fleet.stream("PLANNING", "planning.>")
        for number in range(3):
            await fleet.says("planning.story.created", story_id=f"US-{number}")
        command = [sys.executable, "-c", PROGRAM, "--web.listen-address=127.0.0.1:0"]
        with exporter(command=command, variables={"NATS_URL": server.url}) as process:

            async def ready() -> bool:
                return (await client.get(f"{process.url}/-/ready")).status_code == 200

            await eventually(ready)
            for _ in range(6):  # more than there are slots
                assert "took longer" in await ends(client, process.url, "0.00001")
            assert await ends(client, process.url, "0") == "replayed"
