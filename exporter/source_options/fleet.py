"""Options of the source `fleet`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import SecretStr

from exporter.clients.nats_server import NatsServer
from exporter.config.address import Address, HttpAddress
from exporter.config.options import Count, Names, Options, Seconds, Secret, option
from exporter.config.redaction import REDACT, TEXT_LIMIT
from exporter.source import SourceOptions


class FleetOptions(NatsServer, SourceOptions):
    """One fleet, on one NATS deployment."""

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = ("jetstream", NatsServer)

    follow_events: Annotated[bool, option("Read the fleet's events if NATS has an address.")] = True
    streams: Annotated[Names, option("Streams to read; default: all except buckets, mirrors and sourcing streams.")] = ()
    lookback: Annotated[Seconds, option("Age of the oldest events to read at startup, in seconds.")] = 3600.0
    idle_after: Annotated[Seconds, option("Seconds after its last response until an agent is idle.")] = 300.0
    unresponsive_after: Annotated[Seconds, option("Seconds of deliberation until an agent is unresponsive.")] = 30.0
    agent_ttl: Annotated[Seconds, option("Seconds without events until an agent is removed.")] = 3600.0
    deliberation_timeout: Annotated[Seconds, option("Seconds until a deliberation times out.")] = 300.0
    redact: Annotated[Names, option("Fields of events whose values are redacted.")] = REDACT
    text_limit: Annotated[Count, option("Maximum characters of a text within an event.")] = TEXT_LIMIT
    max_agents: Annotated[Count, option("Maximum number of agents tracked.")] = 500
    max_stories: Annotated[Count, option("Maximum number of stories tracked.")] = 5000
    max_tasks: Annotated[Count, option("Maximum number of tasks tracked.")] = 10_000

    grafana_url: Annotated[HttpAddress, option("Grafana address to push live events to (Grafana Live).")] = Address("")
    grafana_token: Annotated[Secret, option("Token of a Grafana service account with permission to push.")] = SecretStr("")
    grafana_stream: Annotated[str, option("Name of the stream in Grafana Live.")] = "fleet"

    @property
    def enabled(self) -> bool:
        return bool(self.url) and self.follow_events
