"""Options of the source `valkey`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Gt
from pydantic import SecretStr

from exporter.clients.tls import client_context
from exporter.config.address import ValkeyAddresses
from exporter.config.options import Count, Names, Secret, option
from exporter.source import SourceOptions


class ValkeyOptions(SourceOptions):
    """ValKey 7 to 9 and Redis 6 to 8."""

    url: Annotated[
        ValkeyAddresses,
        option("host:port, redis://, rediss:// or unix:// addresses of one or several servers.", env="REDIS_URL"),
    ] = ()
    username: Annotated[str, option("ACL user name, if the address has none.")] = ""
    password: Annotated[Secret, option("Password, if the address has none.", env="REDIS_PASSWORD")] = SecretStr("")
    collection_keys: Annotated[
        Names,
        option(
            "Keys whose size and memory are exported; each costs the server one keyspace hit per collection, a stream two."
        ),
    ] = ()
    key_groups: Annotated[bool, option("Count keys by the first two segments of their names, with SCAN.")] = False
    key_groups_ttl: Annotated[
        bool, option("Also read the time to live of every counted key; each counts as a keyspace hit of the server.")
    ] = False
    key_groups_limit: Annotated[int, Gt(0), option("Maximum number of groups; the rest is `other`.")] = 50
    scan_limit: Annotated[Count, option("Maximum keys per SCAN; a larger keyspace is incomplete.")] = 20_000

    ca_file: Annotated[Path | None, option("CA certificates for rediss:// addresses, in addition to the system's.")] = None
    cert_file: Annotated[Path | None, option("Client certificate for rediss:// addresses.")] = None
    key_file: Annotated[Path | None, option("Key of the client certificate.")] = None

    @property
    def tls_files(self) -> dict[str, str]:
        """The configured files by the names of the client library's arguments. Raises SourceError for an unusable one."""
        client_context("valkey.", self.ca_file, self.cert_file, self.key_file)
        files = {"ssl_ca_certs": self.ca_file, "ssl_certfile": self.cert_file, "ssl_keyfile": self.key_file}
        return {name: str(file) for name, file in files.items() if file is not None}

    @property
    def enabled(self) -> bool:
        return bool(self.url)
