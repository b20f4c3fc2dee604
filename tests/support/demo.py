"""The demo as its user runs it: a separate process that prints what it does, reads commands, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from servers.process import guarding, listening, wait_for

ROOT = Path(__file__).parents[2]
_URL = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass
class RunningDemo:
    """`said` grows while the demo runs."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each line was said, in Unix seconds."""

    def address(self, name: str) -> str:
        """The URL that the demo's list of addresses gives for a name, such as `Alertmanager`."""
        rows = (re.fullmatch(rf"  {re.escape(name)} +(http://\S+)\n", line) for line in self.said)
        return next(row[1] for row in rows if row)

    @property
    def exporter(self) -> str:
        return self.address("Exporter")

    @property
    def prometheus(self) -> str:
        return self.address("Prometheus")

    @property
    def alertmanager(self) -> str:
        return self.address("Alertmanager")

    @property
    def slack(self) -> str:
        return self.address("Slack messages")

    @property
    def loki(self) -> str:
        return self.address("Loki labels").removesuffix("/loki/api/v1/labels")

    @property
    def documentation(self) -> str:
        return self.address("Runbooks and dashboards")

    def command(self, backend: str) -> str:
        """The command that the demo's list gives for a backend's client."""
        rows = (re.fullmatch(rf"  {re.escape(backend)} {{2,}}((?!http)\S.*)\n", line) for line in self.said)
        return next(row[1] for row in rows if row)

    def do(self, line: str) -> None:
        """Type a line at its terminal, such as `break lag`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def interrupt(self) -> float:
        """Send Ctrl-C's signal; returns the seconds until the process has ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return time.monotonic() - began

    def wait_until_said(self, words: str, *, deadline: float = 30.0) -> None:
        """Return when a line contains these words. Fails after `deadline` seconds, or when the demo has ended."""

        def said() -> bool:
            if any(words in line for line in self.said):
                return True
            assert self.process.poll() is None, "".join(self.said)
            return False

        wait_for(said, what=f"the demo to say {words!r}", deadline=deadline)

    def said_at(self, words: str) -> float:
        """Time of the first line that contains these words, in Unix seconds."""
        return next(when for line, when in zip(self.said, self.times, strict=False) if words in line)

    def got(self, address: str) -> Any:
        """The JSON body of a URL."""
        return httpx.get(address, trust_env=False).raise_for_status().json()

    def messages(self) -> list[dict[str, Any]]:
        """The messages sent to Slack so far: `hook` and `payload` of each, oldest first."""
        messages: list[dict[str, Any]] = self.got(f"{self.slack}/messages")["messages"]
        return messages


@contextlib.contextmanager
def running_demo(
    *arguments: str,
    stdin: int | IO[Any] | None = subprocess.PIPE,
    ended_by: int = signal.SIGTERM,
    variables: Mapping[str, str] | None = None,
) -> Iterator[RunningDemo]:
    """`python -m demo` with these arguments, ended by a signal; fails when it complains, or leaves a server behind."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo", *arguments],
            cwd=ROOT,
            env=os.environ | dict(variables or {}),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
        )
        guard = guarding(process.pid)
        demo = RunningDemo(process)

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                demo.times.append(time.time())
                demo.said.append(line)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield demo
        finally:
            process.send_signal(ended_by)
            try:
                process.wait(60)
            finally:
                process.kill()  # its servers end with it, whatever it was that kept it
                guard.communicate()
                listener.join()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        complaints.seek(0)
        complained = complaints.read()
        assert (process.returncode, complained) == (0, ""), f"it ended with {process.returncode}: {complained}"
        assert demo.said[-1].endswith("Every server has stopped\n"), f"it said last: {demo.said[-1]}"
        left = [line for line in demo.said for port in _URL.findall(line) if listening(int(port))]
        assert left == [], f"still listening: {''.join(left)}"
