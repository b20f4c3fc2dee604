"""The TLS context of a client, from files that options name."""

from __future__ import annotations

import ssl
from pathlib import Path

from exporter.errors import Reason, SourceError


def client_context(
    options: str, ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """The context for a CA certificate (default: the system's), and a client certificate for mutual TLS.

    `options` is the name before `ca_file`, such as `vllm.`. Raises SourceError if a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=_readable(options, "ca_file", ca_file))
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


def _readable(options: str, name: str, file: Path | None) -> str | None:
    """The file's path. Raises SourceError if it cannot be read."""
    if file is None:
        return None
    try:
        file.read_bytes()
    except OSError as error:
        raise SourceError(Reason.CONFIG, f"{options}{name} {file}: {error.strerror}") from None
    return str(file)
