"""Whether a loop should end."""

from __future__ import annotations

import asyncio


def asked_to_end() -> bool:
    """Whether the current task was cancelled. Loops ask, since Python 3.11's `wait_for` may swallow the cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
