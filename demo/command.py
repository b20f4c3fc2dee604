"""The command line of the demo: its arguments, its terminal and its end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from demo.stack.run import run
from demo.stack.state import Demo, sentence
from demo.stack.terminal import lines
from demo.stack.threads import GRACE
from servers.cache import ServerMissing
from servers.cancellation import Cancellation, cancellable
from servers.process import ServerFailed, temporary_folder

_THREADS = 32
"""Each server that is being prepared or stopped takes one, and so does the terminal."""


async def _run(demo: Demo) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    task = asyncio.current_task()
    assert task is not None
    cancellation = Cancellation()
    running = True

    def interrupt() -> None:
        nonlocal running
        if running:
            running = False
            cancellation.request(grace=GRACE)
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    demo.end = interrupt

    def typed(line: str) -> None:
        if answer := demo.faults.run(line):
            print(answer, flush=True)

    with cancellable(cancellation), temporary_folder("demo") as folder, lines(typed):
        try:
            await run(demo, folder)
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            running = False
    demo.say("Every server has stopped")


def _single(group: ExceptionGroup[Exception]) -> list[Exception]:
    """The errors of a group and of the groups in it."""
    return [error for one in group.exceptions for error in (_single(one) if isinstance(one, ExceptionGroup) else [one])]


def main() -> int:
    """Exit code 1 when a server that the first page needs is missing, or a soak was not quiet."""
    parser = argparse.ArgumentParser("python -m demo", description="A simulated fleet on real servers, and its exporter.")
    parser.add_argument(
        "--soak",
        type=float,
        metavar="MINUTES",
        help="use the production rules, stop after that time, and fail if an alert fired or is pending",
    )
    demo = Demo(soak_minutes=parser.parse_args().soak)
    failed = False
    with contextlib.suppress(asyncio.CancelledError):
        try:
            asyncio.run(_run(demo))
        except* (ServerMissing, ServerFailed) as group:
            failed = True
            for error in _single(group):
                print(f"demo: {sentence(error)}", file=sys.stderr)
    if demo.soak_minutes is not None and not failed:
        failed = _report(demo)
    return int(failed)


def _report(demo: Demo) -> bool:
    """Print the result of a soak; returns whether it failed."""
    for alert in demo.alerts:
        print(f"demo: alert: {alert}", file=sys.stderr)
    for server in demo.missing:
        print(f"demo: {server} did not start, so its alerts were not tried", file=sys.stderr)
    return bool(demo.alerts or demo.missing)
