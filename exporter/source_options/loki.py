"""Options of the source `loki`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge
from pydantic import SecretStr

from exporter.clients.nats_server import NatsServer
from exporter.config.address import Address, HttpAddress, NatsAddresses
from exporter.config.options import Count, Names, Options, Secret, option
from exporter.config.redaction import REDACT
from exporter.source import SourceOptions


class LokiOptions(SourceOptions):
    """Forwarding of events to one Loki; enabled if both NATS and Loki have an address."""

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = ("jetstream", NatsServer)
    same_server_prefix: ClassVar[str] = "nats_"

    url: Annotated[HttpAddress, option("http:// or https:// address of Loki.", env="LOKI_URL")] = Address("")
    user: Annotated[str, option("Loki user name.")] = ""
    password: Annotated[Secret, option("Loki password.")] = SecretStr("")
    token: Annotated[Secret, option("Loki bearer token.")] = SecretStr("")
    tenant: Annotated[str, option("Loki tenant (X-Scope-OrgID).")] = ""
    ca_file: Annotated[Path | None, option("CA certificates for Loki, in addition to the system's.")] = None
    streams: Annotated[Names, option("Streams to copy; default: all with limits retention.")] = ()
    redact: Annotated[Names, option("Fields of events whose values are not copied.")] = REDACT
    text_limit: Annotated[Count, option("Maximum characters of a text within an event.")] = 16_000
    line_limit: Annotated[Count, option("Maximum characters of a line; Loki's default limit is 256 KiB.")] = 65_536
    batch_bytes: Annotated[
        int, Ge(1024), option("Maximum bytes of a push before compression; Loki's default limit is 4 MiB.")
    ] = 1_048_576

    nats_url: Annotated[NatsAddresses, option("NATS addresses; default: the addresses and credentials of jetstream.")] = ()
    nats_user: Annotated[str, option("NATS user name.")] = ""
    nats_password: Annotated[Secret, option("NATS password.")] = SecretStr("")
    nats_token: Annotated[Secret, option("NATS token.")] = SecretStr("")
    nats_nkey_file: Annotated[Path | None, option("File with an nkey seed for NATS.")] = None
    nats_credentials_file: Annotated[Path | None, option("File with the JWT and seed of a NATS user.")] = None
    nats_ca_file: Annotated[Path | None, option("CA certificates for NATS, in addition to the system's.")] = None
    nats_cert_file: Annotated[Path | None, option("Client certificate for NATS, for mutual TLS.")] = None
    nats_key_file: Annotated[Path | None, option("Private key of the client certificate for NATS.")] = None
    nats_api_prefix: Annotated[str, option("Prefix of the JetStream API, $JS.DOMAIN.API for a domain.")] = "$JS.API"
    nats_inbox_prefix: Annotated[str, option("Prefix of NATS reply subjects.")] = "_INBOX"
    nats_delete_consumers: Annotated[bool, option("Delete the copy's ephemeral consumers after use.")] = True

    @property
    def nats(self) -> NatsServer:
        """The NATS whose streams are copied."""
        return NatsServer.model_construct(**{name: getattr(self, f"nats_{name}") for name in NatsServer.model_fields})

    @property
    def enabled(self) -> bool:
        return bool(self.nats_url) and bool(self.url.get_secret_value())
