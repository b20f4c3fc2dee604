"""What the parts of the demo share: who speaks, what is broken, where steps go, and servers started in threads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from demo.scenario.faults import Faults
from demo.scenario.fleet import Fleet, Step
from demo.stack.cancellation import asked_to_end
from servers.process import ServerFailed, free_port

T = TypeVar("T")

Send = Callable[[Step], Awaitable[None]]
Servers = contextlib.AsyncExitStack

_PAUSE = 0.3  # seconds between two steps of the simulated fleet


@dataclass
class Demo:
    """What is running: the simulated fleet's ways to the servers grow as those join."""

    faults: Faults
    began: float = field(default_factory=time.monotonic)
    sends: list[Send] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    async def run(self, fleet: Fleet, at_each: Callable[[], None]) -> None:
        """Send step after step for ever; a server that is away for a moment does not end the fleet."""
        for step in fleet.steps():
            if asked_to_end():
                return
            at_each()
            for send in tuple(self.sends):
                try:
                    await send(step)
                except Exception as error:  # noqa: BLE001 - a simulated service logs and goes on, as the real ones do
                    self.say(f"the simulated fleet met {type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE)


async def entered(stack: Servers, context: contextlib.AbstractContextManager[T]) -> T:
    """Start a server in a thread, and have it stopped in one at the end."""
    server = await asyncio.to_thread(context.__enter__)
    stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
    return server


def wished_port(port: int) -> int:
    """A well-known port where it is free, another where it is not."""
    try:
        return free_port(port)
    except ServerFailed:
        return free_port()
