"""Cancels work in threads: what a thread waits for, such as a child process, is ended, and the thread raises Cancelled.

asyncio cannot cancel a thread, and Ctrl-C reaches the main thread only. `asyncio.to_thread` copies the context, so every
thread that works for a task finds the task's Cancellation with `current()`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar


class Cancelled(Exception):
    """The work was cancelled before it was done."""


class Cancellation:
    """A request to end, which may come from any thread or from a signal handler of asyncio."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._lock = threading.Lock()
        self._actions: dict[object, Callable[[], None]] = {}
        self._deadline = 0.0

    @property
    def requested(self) -> bool:
        return self._requested.is_set()

    def request(self, *, grace: float = 0.0) -> None:
        """Cancel: run the actions that are registered now. Servers that run have `grace` seconds to stop."""
        with self._lock:
            if self._requested.is_set():
                return
            self._deadline = time.monotonic() + grace
            self._requested.set()
            actions = list(self._actions.values())
        for action in actions:
            action()

    def check(self) -> None:
        """Raises Cancelled after a request."""
        if self._requested.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Return after this time. Raises Cancelled as soon as it is requested."""
        if self._requested.wait(seconds):
            raise Cancelled

    def within_grace(self, seconds: float) -> float:
        """`seconds`, or the rest of the grace period after a request."""
        return min(seconds, max(self._deadline - time.monotonic(), 0.0)) if self.requested else seconds

    @contextlib.contextmanager
    def on_request(self, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` when it is requested inside the context. Raises Cancelled when it was requested before."""
        key = object()
        with self._lock:
            self.check()
            self._actions[key] = action
        try:
            yield
        finally:
            with self._lock:
                del self._actions[key]


_CURRENT: ContextVar[Cancellation] = ContextVar("cancellation")
_NEVER = Cancellation()


def current() -> Cancellation:
    """The Cancellation of this context; one that is never requested where there is none."""
    return _CURRENT.get(_NEVER)


@contextlib.contextmanager
def cancellable(cancellation: Cancellation) -> Iterator[Cancellation]:
    """Make it the current one, also for tasks and threads started in the context."""
    token = _CURRENT.set(cancellation)
    try:
        yield cancellation
    finally:
        _CURRENT.reset(token)
