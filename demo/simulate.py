"""`python -m demo.simulate`: the simulated fleet alone, on servers that run elsewhere, until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import nats.errors
import neo4j.exceptions
import redis.exceptions

from demo.scenario.faults import Backend, Fault, FaultError, Faults, named
from demo.scenario.fleet import SimulatedFleet, Step
from demo.scenario.traffic import Cache, Events, Graph
from demo.stack.cancellation import asked_to_end

_UNREACHABLE = (
    OSError,
    nats.errors.Error,
    neo4j.exceptions.DriverError,
    neo4j.exceptions.Neo4jError,
    redis.exceptions.RedisError,
)


def _faults(text: str) -> Faults:
    try:
        faults = named(text)
    except FaultError as unknown:
        raise argparse.ArgumentTypeError(str(unknown)) from None
    if elsewhere := sorted(fault for fault in faults if fault.backend is not Backend.NATS):
        raise argparse.ArgumentTypeError(f"{', '.join(elsewhere)} needs more than NATS: use `make demo`")
    return Faults(set(faults), {Backend.NATS})


def _parser() -> argparse.ArgumentParser:
    at_nats = sorted(fault for fault in Fault if fault.backend is Backend.NATS)
    parser = argparse.ArgumentParser("python -m demo.simulate", description=__doc__.partition(": ")[2] if __doc__ else None)
    parser.add_argument("--nats-url", default=os.environ.get("NATS_URL"), help="[NATS_URL]; required")
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL"), help="ValKey [REDIS_URL]")
    parser.add_argument(
        "--neo4j-uri", default=os.environ.get("NEO4J_URI"), help="[NEO4J_URI]; the password is NEO4J_PASSWORD"
    )
    parser.add_argument("--neo4j-user", default=os.environ.get("NEO4J_USER", "neo4j"), help="[NEO4J_USER]")
    parser.add_argument("--pause", type=float, default=0.3, metavar="SECONDS", help="between two steps (default: 0.3)")
    parser.add_argument(
        "--break", dest="faults", type=_faults, default="none", metavar="FAULT,…",
        help=f"faults to inject, of {', '.join(at_nats)} (default: none)",
    )  # fmt: skip
    return parser


async def _steps(fleet: SimulatedFleet, sends: list[Callable[[Step], Awaitable[None]]], pause: float) -> None:
    for step in fleet.steps():
        if asked_to_end():
            return
        for send in sends:
            try:
                await send(step)
            except _UNREACHABLE as error:  # the fleet continues during a short outage of a server
                print(f"simulate: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        await asyncio.sleep(pause)


async def _run(chosen: argparse.Namespace) -> None:
    async with contextlib.AsyncExitStack() as stack:
        events = Events(chosen.nats_url, chosen.faults)
        sends: list[Callable[[Step], Awaitable[None]]] = [events.send]
        if chosen.redis_url:
            cache = Cache(chosen.redis_url)
            stack.push_async_callback(cache.close)
            sends.append(cache.send)
        if chosen.neo4j_uri:
            password = os.environ.get("NEO4J_PASSWORD", "")
            graph = Graph(chosen.neo4j_uri, user=chosen.neo4j_user, password=password)
            stack.push_async_callback(graph.close)
            sends.append(graph.send)
        await events.connect()
        stack.push_async_callback(events.close)
        async with asyncio.TaskGroup() as group:
            group.create_task(events.run())
            group.create_task(_steps(SimulatedFleet(silent=Fault.AGENT in chosen.faults), sends, chosen.pause))


async def _until_asked(chosen: argparse.Namespace) -> None:
    running = asyncio.create_task(_run(chosen))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main() -> int:
    """Exit code 0 after a signal, 1 when NATS is not reachable, 2 for wrong arguments."""
    parser = _parser()
    chosen = parser.parse_args()
    if not chosen.nats_url:
        parser.error("NATS: expected an address; set --nats-url or NATS_URL")
    failures: list[BaseException] = []
    try:
        asyncio.run(_until_asked(chosen))
    except* _UNREACHABLE as group:
        failures = _single(group)
    for error in failures:
        print(f"simulate: {type(error).__name__}: {error}", file=sys.stderr)
    return 1 if failures else 0


def _single(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf for error in group.exceptions for leaf in (_single(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


if __name__ == "__main__":
    sys.exit(main())
