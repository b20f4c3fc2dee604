"""Commands that fetch and build: each in a separate session, read line by line, killed when cancelled."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from servers.cancellation import current
from servers.process import guarding

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST_CAUSE = 300


class CommandFailed(Exception):
    """The cause in one line. `output` is everything that the command printed."""

    def __init__(self, cause: str, output: str) -> None:
        super().__init__(cause)
        self.output = output


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    cause: Callable[[Sequence[str]], str] | None = None,
    on_line: Callable[[str], None] | None = None,
    interruptible: bool = True,
) -> str:
    """What the command printed, standard error included; each line is given to `on_line` as it comes.

    `cause` picks the line that says why it failed, by default the last one. Raises CommandFailed and Cancelled; either
    way nothing of the command is left running. A command that is not `interruptible` is waited for when cancelled.
    """
    current().check()
    lines: list[str] = []
    try:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error.strerror}", "") from None
    guard = guarding(child.pid) if interruptible else None
    try:
        assert child.stdout is not None
        with contextlib.ExitStack() as stack:
            stack.enter_context(child.stdout)
            if interruptible:
                stack.enter_context(current().on_request(lambda: _end(child.pid)))
            for line in child.stdout:
                lines.append(_CONTROL.sub("", line).rstrip())
                if on_line is not None:
                    on_line(lines[-1])
            child.wait()
    finally:
        if guard is not None:
            guard.communicate()  # ends what is left of the session
        child.wait()
    current().check()
    output = "\n".join(lines)
    if child.returncode != 0:
        said = [line.strip() for line in lines if line.strip()]
        reason = (cause or _last)(said) or f"{Path(command[0]).name} ended with code {child.returncode}"
        raise CommandFailed(reason[:_LONGEST_CAUSE].rstrip(".: "), output)
    return output


def _last(lines: Sequence[str]) -> str:
    return lines[-1] if lines else ""


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
