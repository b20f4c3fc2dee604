"""Three nats-servers that form one JetStream cluster on free ports; each node can be killed and restarted by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from servers import nats
from servers.nats import Nats
from servers.process import free_port


@dataclass(frozen=True, kw_only=True)
class NatsCluster:
    """`nodes` are named n1, n2, n3 in this order; `monitoring` are their monitoring ports."""

    nodes: tuple[Nats, ...]
    monitoring: tuple[int, ...]

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(node.url for node in self.nodes)

    def node(self, name: str) -> Nats:
        """The node of that name."""
        return self.nodes[int(name.removeprefix("n")) - 1]


@contextlib.contextmanager
def start(*, config: str = "", nodes: int = 3) -> Iterator[NatsCluster]:
    """The members, connected to each other; JetStream may take a moment more to elect its leader.

    `config` is added to every node's configuration.
    """
    ports, monitoring = [free_port() for _ in range(nodes)], [free_port() for _ in range(nodes)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    with contextlib.ExitStack() as running:
        members = []
        for number, port in enumerate(ports, 1):
            text = (
                f"server_name: n{number}\nhttp: 127.0.0.1:{monitoring[number - 1]}\n"
                f'cluster {{ name: fleet, listen: "127.0.0.1:{port}", routes: [{routes}], no_advertise: true }}\n{config}'
            )
            members.append(running.enter_context(nats.start(config=text)))
        yield NatsCluster(nodes=tuple(members), monitoring=tuple(monitoring))
