"""State that the parts of the demo share: its output, the active faults, and the servers that get the fleet's traffic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from demo.scenario.faults import Faults
from demo.scenario.fleet import SimulatedFleet, Step
from demo.stack.cancellation import asked_to_end
from servers.process import ServerFailed, free_port

Send = Callable[[Step], Awaitable[None]]

_LONGEST = 300
_PAUSE = 0.3  # seconds between two steps of the simulated fleet


def sentence(error: Exception) -> str:
    """The error in one line; of a server's log the last line."""
    first, *more = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (f"{first.partition(': ')[0]}: {more[-1]}" if more else first)[:_LONGEST]


@dataclass
class Demo:
    """`sends` grows as servers come up.

    With `soak_minutes` the production rules are used, and `end` is called after that time. `alerts` are then the unexpected
    alerts, and `missing` the servers that did not start.
    """

    faults: Faults = field(default_factory=Faults)
    began: float = field(default_factory=time.monotonic)
    sends: list[Send] = field(default_factory=list)
    soak_minutes: float | None = None
    end: Callable[[], None] = lambda: None
    alerts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def port(self, server: str, preferred: int) -> int:
        """The server's usual port, or a free one, with a message, when that is in use."""
        try:
            return free_port(preferred)
        except ServerFailed:
            port = free_port()
            self.say(f"Port {preferred} is in use: {server} listens on {port}")
            return port

    async def run(self, fleet: SimulatedFleet, before_each: Callable[[], None]) -> None:
        """Send steps until cancelled; a short outage of a server does not stop the fleet."""
        for step in fleet.steps():
            if asked_to_end():
                return
            before_each()
            for send in tuple(self.sends):
                try:
                    await send(step)
                except Exception as error:  # noqa: BLE001 - a simulated service logs and continues, as the real ones do
                    self.say(f"The simulated fleet got {type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE)
