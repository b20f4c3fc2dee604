"""Options of the source `jetstream`."""

from __future__ import annotations

from typing import Annotated

from exporter.clients.nats_server import NatsServer
from exporter.config.address import MonitoringAddresses
from exporter.config.options import Count, Names, Pairs, Seconds, option
from exporter.source import SourceOptions

SERVICES = {
    "orch-": "orchestrator",
    "deliberation-collector": "orchestrator",
    "orchestrator-": "orchestrator",
    "context-": "context",
    "planning-": "planning",
    "planning-ceremony-processor-": "planning-ceremony-processor",
    "workflow-": "workflow",
    "task-derivation-": "task-derivation",
    "backlog-review-processor-": "backlog-review-processor",
}


class JetstreamOptions(NatsServer, SourceOptions):
    """One NATS deployment; several addresses are members of one cluster."""

    timeout: Annotated[
        Seconds, option("Collection timeout, in seconds. A cluster with a node down takes four seconds to list its streams.")
    ] = 8.0
    expected: Annotated[Names, option("Streams, and consumers as stream/consumer, to report as present or missing.")] = ()
    services: Annotated[
        Pairs, option("Service names by prefix of the consumer name: prefix=service, separated by commas.")
    ] = SERVICES
    ephemeral_consumers: Annotated[bool, option("Expose each ephemeral consumer instead of their sum per stream.")] = False
    max_oldest_lookups: Annotated[
        Count, option("Max lookups per collection of consumers' oldest unacked messages; 0 disables them.")
    ] = 32
    monitoring_url: Annotated[
        MonitoringAddresses,
        option("http:// or https:// addresses of the servers' monitoring ports, for CPU, memory and connections."),
    ] = ()
