"""`--web.config.file`: TLS, client certificates, headers and basic authentication, in the exporter-toolkit format.

The file and the certificates are reloaded when they change, so rotation needs no restart.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class WebConfigError(Exception):
    """The file is invalid; the message is one sentence."""


class ClientAuth(StrEnum):
    """Go's names for the verification of client certificates."""

    NONE = "NoClientCert"
    REQUEST = "RequestClientCert"
    REQUIRE_ANY = "RequireAnyClientCert"
    VERIFY_IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRE_AND_VERIFY = "RequireAndVerifyClientCert"


_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsServer(_Section):
    """Relative paths are resolved against the folder of the file."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: Annotated[ClientAuth, BeforeValidator(lambda value: value or ClientAuth.NONE)] = ClientAuth.NONE
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    prefer_server_cipher_suites: bool = True


class HttpServer(_Section):
    """`http2` is accepted and ignored: the server uses HTTP/1.1."""

    http2: bool = True
    headers: dict[str, str] = Field(default_factory=dict)


class WebConfig(_Section):
    """Content of the file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[str, str] = Field(default_factory=dict)


def credentials(authorization: str) -> tuple[str, str] | None:
    """(user, password) from an Authorization header; None without one."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if separator else None


def read(path: Path) -> WebConfig:
    """The validated file. Raises WebConfigError."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config = WebConfig.model_validate(content)
    except OSError as error:
        raise WebConfigError(f"--web.config.file {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise WebConfigError(f"--web.config.file {path}: not YAML") from None
    except ValidationError as error:
        errors = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_input=False)
        )
        raise WebConfigError(f"--web.config.file {path}: {errors}") from None
    if config.tls_server_config is not None:
        tls_context(config.tls_server_config, path.parent)
    return config


def tls_context(tls: TlsServer, folder: Path) -> ssl.SSLContext:
    """The server's TLS context. Raises WebConfigError if a file or setting is invalid."""
    if tls.client_auth_type in (ClientAuth.REQUEST, ClientAuth.REQUIRE_ANY):
        raise WebConfigError(
            f"client_auth_type {tls.client_auth_type} does not verify certificates; use RequireAndVerifyClientCert"
        )
    if tls.client_ca_file and tls.client_auth_type is ClientAuth.NONE:
        raise WebConfigError("client_ca_file is set but client_auth_type is NoClientCert; use RequireAndVerifyClientCert")
    if tls.client_auth_type is not ClientAuth.NONE and tls.client_ca_file is None:
        raise WebConfigError(f"client_auth_type {tls.client_auth_type} needs client_ca_file")
    for version in (tls.min_version, tls.max_version):
        if version not in _VERSIONS:
            raise WebConfigError(f"TLS version {version!r} is not supported; use {' or '.join(_VERSIONS)}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    try:
        context.load_cert_chain(folder / tls.cert_file, folder / tls.key_file)
        if tls.client_ca_file is not None:
            context.load_verify_locations(folder / tls.client_ca_file)
    except (OSError, ssl.SSLError) as error:
        named = f"{tls.cert_file}, {tls.key_file}" + (f" or {tls.client_ca_file}" if tls.client_ca_file else "")
        raise WebConfigError(f"{named} cannot be used for TLS: {getattr(error, 'reason', None) or error.strerror}") from None
    if tls.client_auth_type is ClientAuth.VERIFY_IF_GIVEN:
        context.verify_mode = ssl.CERT_OPTIONAL
    elif tls.client_auth_type is ClientAuth.REQUIRE_AND_VERIFY:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
