"""`python -m benchmarks.publisher URL NUMBER RATE`: publishes the simulated fleet's events from a separate process.

RATE is in events per second; 0 is unlimited. The field `sent` of each event has its send time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time

import nats

from demo.scenario.fleet import STREAMS, SimulatedFleet

_TOGETHER = 10


async def prepare(url: str) -> None:
    """The fleet's streams in memory storage, to exclude the disk."""
    client = await nats.connect(url)
    for name, subjects in STREAMS.items():
        await client.jetstream().add_stream(name=name, subjects=[subjects], storage="memory", max_msgs=2_000_000)
    await client.close()


def messages(number: int) -> list[tuple[str, dict[str, object]]]:
    steps = SimulatedFleet().steps()
    every = ((message.subject, message.payload) for step in steps for message in step.messages)
    return list(itertools.islice(every, number))


async def publish(url: str, number: int, rate: float) -> None:
    client = await nats.connect(url, pending_size=64 * 1024 * 1024)
    some = messages(min(number, 5000))
    rendered = [(subject, json.dumps(payload)) for subject, payload in some]
    began = time.monotonic()
    for start in range(0, number, _TOGETHER):
        for index in range(start, min(start + _TOGETHER, number)):
            subject, text = rendered[index % len(rendered)]
            await client.publish(subject, f'{{"sent":{time.time()},{text[1:]}'.encode())
        if rate and (pause := start / rate - (time.monotonic() - began)) > 0:
            await asyncio.sleep(pause)
        elif start % 1000 == 0:
            await client.flush()
    await client.flush()
    await client.close()


def started(url: str, number: int, rate: float = 0) -> subprocess.Popen[bytes]:
    """A process that publishes `number` events at `rate` per second, 0 for unlimited."""
    return subprocess.Popen([sys.executable, "-m", "benchmarks.publisher", url, str(number), str(rate)])


if __name__ == "__main__":
    asyncio.run(publish(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
