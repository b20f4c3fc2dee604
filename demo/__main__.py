"""`make demo`: real servers, a simulated fleet on them, the exporter and its monitoring, until Ctrl-C.

The first page is up within seconds; Neo4j, the Kubernetes API server, Loki and Alertmanager join when they are ready.
Faults are injected with `break NAME` and removed with `restore NAME`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> int:
    """Exit code 0 after Ctrl-C, 1 when a server that the first page needs is missing."""
    # The imports below take a second or two; Ctrl-C during them has nothing to stop and needs no traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    from demo.command import main as command

    return command()


if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the reader closed the pipe
            stream.flush()
    # Everything has stopped. The interpreter would take seconds to free its memory on a busy machine.
    os._exit(code)
