"""The exporter as users run it: the command in a separate process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Exporter:
    url: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """Send SIGTERM, as Kubernetes does, and return the exit code."""
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def exporter(
    *flags: str,
    variables: Mapping[str, str] | None = None,
    python: str | Path = sys.executable,
    command: Sequence[str | Path] | None = None,
    cwd: Path | None = None,
) -> Iterator[Exporter]:
    """A running exporter: on a free port of 127.0.0.1, or exactly `command`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_EXPORTER_")}
    process = subprocess.Popen(
        command or [python, "-m", "exporter", "--web.listen-address=127.0.0.1:0", *flags],
        env={**environment, **(variables or {})},
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        log = []
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"address=(\S+)", line):
                break
        else:
            raise AssertionError(f"the exporter ended: {''.join(log)}")
        yield Exporter(found[1], process, log)
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()
