"""Whether an exporter answers where it is told to listen: what a container's health check asks."""

from __future__ import annotations

import http.client
import ssl

from exporter.config.web import Web
from exporter.web import web_config

_SECONDS = 3.0
_REFUSE_STRANGERS = (web_config.ClientAuth.REQUIRE_ANY, web_config.ClientAuth.REQUIRE_AND_VERIFY)


class Unhealthy(Exception):
    """One sentence: who was asked, and what came instead of an answer."""


def check(options: Web) -> None:
    """Ask the exporter that listens there. Raises Unhealthy, or WebConfigError when its file cannot be read.

    A refusal, for want of a password or of a client's certificate, is an answer: only what lives can refuse.
    """
    tls = web_config.read(options.config_file).tls_server_config if options.config_file is not None else None
    host = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - asked, not bound
    connection: http.client.HTTPConnection
    if tls is not None:
        unchecked = ssl._create_unverified_context()  # noqa: S323 - the exporter asks itself, whatever its names
        connection = http.client.HTTPSConnection(host, options.port, timeout=_SECONDS, context=unchecked)
    else:
        connection = http.client.HTTPConnection(host, options.port, timeout=_SECONDS)
    try:
        connection.connect()
        if tls is not None and tls.client_auth_type in _REFUSE_STRANGERS:
            return  # it has said its part of the handshake, and takes no request without a certificate
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"{options.listen_address}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if status not in (http.client.OK, http.client.UNAUTHORIZED):
        raise Unhealthy(f"{options.listen_address}: answered {status}")
