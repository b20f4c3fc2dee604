"""`python -m servers [--e2e]`: install every server and tool that the tests and the demo use.

`--e2e` adds what only the end-to-end tests need: a Docker engine, the components of a Kubernetes node,
Cilium, and a Prometheus for the Prometheus Operator.

Nothing is started, and what is in the cache is not fetched again. What is not available is reported in one sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import ModuleType

from servers import (
    actionlint,
    alertmanager,
    chromium,
    cilium,
    cluster,
    docker,
    helm,
    kubernetes,
    loki,
    nats,
    neo4j,
    prometheus,
    prometheus_operator,
    valkey,
)
from servers.cache import ServerMissing, locked
from servers.cancellation import Cancellation, Cancelled, cancellable
from servers.progress import Display, display

_SERVERS: Mapping[str, Sequence[ModuleType]] = {
    "NATS": [nats],
    "ValKey": [valkey],
    "Prometheus": [prometheus],
    "Chromium": [chromium],
    "Neo4j": [neo4j],
    "actionlint": [actionlint],
    "Alertmanager": [alertmanager],
    "Helm": [helm],
    "Kubernetes": [kubernetes],
    "Loki": [loki],
}
_END_TO_END: Mapping[str, Sequence[ModuleType]] = {
    "Docker": [docker],
    "Cilium": [cilium],
    "Prometheus Operator": [prometheus_operator],
    "Kubernetes": [cluster, kubernetes],  # in this order, one build compiles what they share once
}


def _prepare(name: str, modules: Sequence[ModuleType], shown: Display, cancellation: Cancellation) -> None:
    with cancellable(cancellation), shown.stage(name) as progress:
        try:
            for server in modules:
                server.prepare(progress)
        except ServerMissing as missing:
            shown.say(f"{name} is not available: {missing}.")


def main() -> int:
    """Prepare all at once: downloads go on while the one build that runs uses the cores.

    Exit code 1 when the cache cannot be written, 130 after Ctrl-C.
    """
    try:
        with locked("writable"):
            pass
    except ServerMissing as unwritable:
        print(f"servers: {unwritable}", file=sys.stderr)
        return 1
    cancellation = Cancellation()
    wanted = {**_SERVERS, **_END_TO_END} if "--e2e" in sys.argv[1:] else _SERVERS
    with display() as shown, ThreadPoolExecutor(len(wanted)) as pool:
        work = [pool.submit(_prepare, name, modules, shown, cancellation) for name, modules in wanted.items()]
        try:
            wait(work)
            for done in work:
                done.result()
        except (KeyboardInterrupt, Cancelled):
            cancellation.request()
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
