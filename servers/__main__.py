"""`python -m servers`: get every server and tool that the tests and the demo use, so that none is waited for later.

Nothing is started. What is there is not fetched again; what cannot be had is told, and whoever needs it will say so too.
"""

from __future__ import annotations

import sys

from servers import (
    actionlint,
    alertmanager,
    chromium,
    cluster,
    docker,
    helm,
    kubernetes,
    loki,
    nats,
    neo4j,
    prometheus,
    valkey,
)
from servers.cache import ServerMissing

_QUICK_FIRST = (nats, valkey, prometheus, chromium, docker, neo4j, actionlint, alertmanager, helm, cluster, kubernetes, loki)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Prepare one after the other: each build uses all cores by itself."""
    for server in _QUICK_FIRST:
        try:
            server.prepare(_say)
        except ServerMissing as missing:
            print(f"Without {server.__name__.rpartition('.')[2]}: {missing}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
