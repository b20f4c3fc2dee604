"""A server as a child process: started in a session of its own, waited for, paused, stopped, never left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.02
_GRACE = 15.0

_GUARD = """
import os, signal, sys
child = int(sys.argv[1])
sys.stdin.read()
try:
    os.killpg(child, signal.SIGKILL)
except ProcessLookupError:
    pass
"""
"""Reads a pipe that ends with the parent however the parent ends, and then ends the child."""


class ServerFailed(Exception):
    """One sentence on which server did not start or answer, and the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Whether something accepts connections on a port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], *, what: str, deadline: float = 30.0) -> None:
    """Return when the condition holds. Raises ServerFailed when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise ServerFailed(f"waited {deadline:.0f} s in vain for {what}")
        time.sleep(_POLL)


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder for a server's data and log, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"fleet-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Process:
    """A running child."""

    name: str
    child: subprocess.Popen[bytes]
    guard: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    def pause(self) -> None:
        """Stop it from running, connections left open: a hung server."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that is not heard."""
        if self.alive:
            self.resume()
            self.child.terminate()
            try:
                self.child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()
        if self.guard.stdin is not None:
            self.guard.stdin.close()
        self.guard.wait()

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        self.child.kill()
        self.stop()


def spawn(
    command: Sequence[str | Path],
    *,
    name: str,
    folder: Path,
    ready: Callable[[], bool],
    deadline: float = 60.0,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Start a child with its log in `folder` and wait until `ready`. Raises ServerFailed, with nothing left running."""
    log = folder / f"{name}.log"
    environment = {**os.environ, **env} if env else None
    with log.open("ab") as output:
        # A session of its own: Ctrl-C in a terminal reaches the demo, which then stops its servers in order.
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    guard = subprocess.Popen(
        [sys.executable, "-I", "-c", _GUARD, str(child.pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    process = Process(name, child, guard)
    try:
        _wait(process, ready, log, deadline)
    except BaseException:
        process.stop()
        raise
    return process


def _wait(process: Process, ready: Callable[[], bool], log: Path, deadline: float) -> None:
    end = time.monotonic() + deadline
    while True:
        if not process.alive:
            raise ServerFailed(f"{process.name} ended with code {process.child.returncode}: {_tail(log)}")
        with contextlib.suppress(OSError):
            if ready():
                return
        if time.monotonic() > end:
            raise ServerFailed(f"{process.name} was not ready within {deadline:.0f} s: {_tail(log)}")
        time.sleep(_POLL)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip() or "its log is empty"


@contextlib.contextmanager
def process(
    command: Sequence[str | Path],
    *,
    name: str,
    folder: Path,
    ready: Callable[[], bool],
    deadline: float = 60.0,
    env: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """`spawn`, stopped at the end."""
    running = spawn(command, name=name, folder=folder, ready=ready, deadline=deadline, env=env)
    try:
        yield running
    finally:
        running.stop()
