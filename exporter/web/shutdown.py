"""The time limit of shutdown: names in the log what is still running, then ends the process.

The limit is enforced by a thread, because an unfinished thread, such as a bcrypt check or a read of a hung file system,
blocks the end of the interpreter after the event loop is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Any, Final, NoReturn

from exporter.config.log import flush

SHUTDOWN_SECONDS: Final = 1.7
"""Maximum seconds from the signal to the end of the process, for requests, connections and threads together."""
_FLUSH_SECONDS: Final = 0.2

log = logging.getLogger(__name__)


def limit_shutdown(loop: asyncio.AbstractEventLoop) -> None:
    """End the process with code 0 after SHUTDOWN_SECONDS if it is still running."""

    def end_late() -> None:
        time.sleep(SHUTDOWN_SECONDS)
        end_now("shutdown takes too long; exiting", loop)

    threading.Thread(target=end_late, name="shutdown", daemon=True).start()


def end_now(reason: str, loop: asyncio.AbstractEventLoop) -> NoReturn:
    """End the process with code 0, without waiting for anything but the log."""
    log.warning(reason, extra={"running": ", ".join(_running(loop))})
    flush(_FLUSH_SECONDS)
    os._exit(0)


def _running(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Names of cancelled tasks and of threads that have not ended."""
    tasks = {_name(task) for task in asyncio.all_tasks(loop) if task.cancelling()}
    threads = {thread.name for thread in threading.enumerate() if not thread.daemon}
    return sorted(tasks | threads - {threading.main_thread().name})


def _name(task: asyncio.Task[Any]) -> str:
    """The task's own name, or its function's."""
    name = task.get_name()
    return getattr(task.get_coro(), "__qualname__", name) if name.startswith("Task-") else name
