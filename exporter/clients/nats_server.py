"""The options that name a NATS server: addresses, credentials and TLS files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import SecretStr

from exporter.clients.tls import client_context
from exporter.config.address import NatsAddresses
from exporter.config.options import Options, Secret, option
from exporter.errors import Reason, SourceError


class NatsServer(Options):
    """The address of NATS and the credentials for it; several addresses are members of one cluster."""

    url: Annotated[
        NatsAddresses, option("host:port, nats:// or tls:// addresses of the members of one cluster.", env="NATS_URL")
    ] = ()
    user: Annotated[str, option("User name.", env="NATS_USER")] = ""
    password: Annotated[Secret, option("Password.", env="NATS_PASSWORD")] = SecretStr("")
    token: Annotated[Secret, option("Token.", env="NATS_TOKEN")] = SecretStr("")
    nkey_file: Annotated[Path | None, option("File with an nkey seed.")] = None
    credentials_file: Annotated[Path | None, option("File with a user's JWT and seed.", env="NATS_CREDS")] = None
    ca_file: Annotated[Path | None, option("CA certificates for TLS, in addition to the system's.")] = None
    cert_file: Annotated[Path | None, option("Client certificate, for mutual TLS.")] = None
    key_file: Annotated[Path | None, option("Private key of the client certificate.")] = None
    api_prefix: Annotated[str, option("Prefix of the JetStream API, $JS.DOMAIN.API for a domain.")] = "$JS.API"
    inbox_prefix: Annotated[str, option("Prefix of reply subjects; use a separate one if users share an account.")] = (
        "_INBOX"
    )
    delete_consumers: Annotated[
        bool,
        option("Delete the exporter's own ephemeral consumers after use; otherwise they expire after a minute."),
    ] = True

    @property
    def enabled(self) -> bool:
        return bool(self.url)

    @property
    def server(self) -> str:
        return self.url[0].server if self.url else ""

    def credentials(self) -> dict[str, Any]:
        """The client's authentication arguments. Raises SourceError if a file cannot be used."""
        given: dict[str, Any] = {}
        if self.user:
            given |= {"user": self.user, "password": self.password.get_secret_value()}
        elif (address := next((url for url in self.url if url.user), None)) is not None:
            # The members of a cluster share their accounts; a user alone is a token, as in every client of NATS.
            named = {"user": address.user, "password": address.password}
            given |= named if address.password else {"token": address.user}
        if token := self.token.get_secret_value():
            given["token"] = token
        for name, file in (("nkeys_seed", self.nkey_file), ("user_credentials", self.credentials_file)):
            if file is not None:
                if not file.is_file():
                    raise SourceError(
                        Reason.CONFIG, f"NATS credentials: expected a readable file, got {file}; check the path"
                    )
                given[name] = str(file)
        if self.ca_file or self.cert_file:
            given["tls"] = client_context("NATS ", self.ca_file, self.cert_file, self.key_file)
        return given
