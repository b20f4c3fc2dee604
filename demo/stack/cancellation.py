"""Whether a loop should end."""

from __future__ import annotations

import asyncio


def asked_to_end() -> bool:
    """Whether the current task was cancelled. Loops check it: `wait_for` of Python 3.11 may swallow it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
