"""A server as a child process in a separate session: started, paused, restarted, and always stopped at the end."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from servers.cancellation import current

_POLL = 0.02
GRACE = 15.0
_TAIL = 2000

# Below the range from which Linux takes the ports of outgoing connections: otherwise any connection made between
# the choice of a port and a server's start three seconds later could take it.
_PORTS = range(15_000, 32_000)

_GUARD = """
import os, signal, sys
group = sys.stdin.readline()
sys.stdin.read()
if group:
    try:
        os.killpg(int(group), signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
"""It reads the child's process group, waits for the end of a pipe, which ends with the parent however the parent ends
(SIGKILL too), and then ends what is left of the group. The kernel's PR_SET_PDEATHSIG would do the same at the end of
the thread that started the child, too early for a server started from a worker thread."""


class ServerFailed(Exception):
    """One sentence on which server did not start or answer, and the end of its log."""


_handed_out: set[int] = set()


def free_port(wished: int | None = None) -> int:
    """A free port of 127.0.0.1: the requested one, or one that was not returned before.

    Raises ServerFailed if the requested one is in use: its listener would be mistaken for the new server.
    """
    if wished is not None:
        if listening(wished):
            raise ServerFailed(f"port {wished} of 127.0.0.1 is taken: end what listens there or choose another")
        return wished
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _handed_out:
                _handed_out.add(port)
                return port


def listening(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on a port of this machine."""
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def answers(url: str, *, token: str | None = None, ca_file: Path | None = None) -> bool:
    """Whether a URL of a server here answers 200, past any proxy that the environment names."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else False
        with httpx.Client(verify=verify, timeout=5, trust_env=False) as client:
            return client.get(url, headers=headers).status_code == 200
    except (httpx.HTTPError, OSError):  # the certificate may be incomplete
        return False


def wait_for(condition: Callable[[], bool], *, what: str, deadline: float = 30.0) -> None:
    """Return when the condition holds. Raises ServerFailed when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        current().check()
        if time.monotonic() > end:
            raise ServerFailed(f"waited {deadline:.0f} s in vain for {what}")
        time.sleep(_POLL)


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder for a server's data and log, deleted afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"fleet-{name}-"))
    except OSError as error:
        place = tempfile.gettempdir() if error.filename is None else Path(error.filename).parent
        raise ServerFailed(
            f"no folder can be made in {place} ({error.strerror}): set TMPDIR to one that you may write"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _guard() -> subprocess.Popen[bytes]:
    """Started before the child, so that the child always has a guard."""
    guard = [sys.executable, "-I", "-S", "-c", _GUARD]
    return subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def _send(guard: subprocess.Popen[bytes], group: int) -> None:
    if guard.stdin is not None:
        guard.stdin.write(b"%d\n" % group)
        guard.stdin.flush()


def guarding(group: int) -> subprocess.Popen[bytes]:
    """A guard of a process group that was started otherwise: it ends the group when this process or its input ends."""
    guard = _guard()
    _send(guard, group)
    return guard


class Process:
    """One server's child process; `command` may be changed before a restart."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        folder: Path,
        ready: Callable[[], bool],
        deadline: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = folder / f"{name}.log"
        self._ready = ready
        self._deadline = deadline
        self._env = {**os.environ, **env} if env else None
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The child; after `stop`, the last one."""
        if self._child is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._child

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the child and wait until it is ready. Raises ServerFailed or Cancelled, with nothing left running."""
        try:
            current().check()
            self._launch()
            with current().on_request(self.child.kill):
                self._wait()
        except BaseException:
            self.kill()
            raise

    def _launch(self) -> None:
        # Separate sessions: Ctrl-C in a terminal reaches the demo alone, which then stops its servers in order.
        self._guard = _guard()
        with self.log.open("wb") as output:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.log.parent,
                env=self._env,
                start_new_session=True,
            )
        _send(self._guard, self._child.pid)

    def _wait(self) -> None:
        end = time.monotonic() + self._deadline
        while True:
            current().check()
            if not self.alive:
                raise ServerFailed(f"{self.name} ended with code {self.child.returncode}: {self._tail()}")
            with contextlib.suppress(OSError):
                if self._ready():
                    return
            if time.monotonic() > end:
                raise ServerFailed(f"{self.name} was not ready within {self._deadline:g} s: {self._tail()}")
            time.sleep(_POLL)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL:].strip() or "its log is empty"

    def pause(self) -> None:
        """Pause it with its connections open, like a hung server."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after 15 s, after the grace of a cancellation, or when the wait is interrupted."""
        try:
            if self.alive:
                self.child.terminate()
                self.resume()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.wait(current().within_grace(GRACE))
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill it, like a crash; does nothing if it has already exited."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        if self._guard is not None:
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def restart(self) -> None:
        """Stop it, if it runs, and start the same command on the same data again."""
        self.stop()
        self.start()


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    url: str
    port: int
    process: Process

    @property
    def pid(self) -> int:
        return self.process.pid


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
    child = Process(command, name=name, folder=folder, ready=ready, deadline=deadline, env=env)
    child.start()
    return child


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
