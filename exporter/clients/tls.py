"""The TLS context of a client, from files that options name."""

from __future__ import annotations

import ssl
from pathlib import Path

from exporter.errors import Reason, SourceError


def client_context(
    options: str, ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """The context for the system's CA certificates and those of a file, and a client certificate for mutual TLS.

    `options` is the name before `ca_file`, such as `vllm.`. Raises SourceError if a file cannot be used.
    """
    context = ssl.create_default_context()
    if (authorities := _readable(options, "ca_file", ca_file)) is not None:
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError:
            raise SourceError(Reason.CONFIG, f"{options}ca_file {ca_file}: expected PEM certificates, got none") from None
    certificate, key = _readable(options, "cert_file", cert_file), _readable(options, "key_file", key_file)
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except ssl.SSLError:
            named = f"{options}cert_file {cert_file}" + (f" and {options}key_file {key_file}" if key_file else "")
            raise SourceError(Reason.CONFIG, f"{named}: expected a PEM certificate and its key") from None
    return context


def authorities(options: str, ca_file: Path) -> bytes:
    """The certificates of `client_context` as PEM, for a client that takes no context. Raises SourceError."""
    client_context(options, ca_file)  # names a file that cannot be used
    context = ssl.create_default_context()
    if (folder := ssl.get_default_verify_paths().capath) is not None:
        for file in Path(folder).glob("*.[0-9]"):  # OpenSSL reads a folder's files only when it needs them
            context.load_verify_locations(file)
    system = "".join(ssl.DER_cert_to_PEM_cert(one) for one in context.get_ca_certs(binary_form=True))
    return system.encode() + ca_file.read_bytes()


def _readable(options: str, name: str, file: Path | None) -> str | None:
    """The file's path. Raises SourceError if it cannot be read."""
    if file is None:
        return None
    try:
        file.read_bytes()
    except OSError as error:
        raise SourceError(Reason.CONFIG, f"{options}{name} {file}: {error.strerror}") from None
    return str(file)
