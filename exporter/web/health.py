"""Whether the exporter responds at its listen address; for the health check of a container."""

from __future__ import annotations

import http.client
import ssl

from exporter.config.web import Web
from exporter.errors import network_cause
from exporter.web import web_config

_SECONDS = 3.0
_REFUSE_STRANGERS = (web_config.ClientAuth.REQUIRE_ANY, web_config.ClientAuth.REQUIRE_AND_VERIFY)


class Unhealthy(Exception):
    """The exporter did not respond; the message has the address and the response."""


def check(options: Web) -> None:
    """Check the exporter at the listen address. Raises Unhealthy, or WebConfigError if its file cannot be read.

    A response that denies access (missing password or client certificate) counts as healthy.

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
            return  # the TLS handshake succeeded; requests without a certificate are denied
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"{options.listen_address}: {network_cause(error)}") from None
    finally:
        connection.close()
    if status not in (http.client.OK, http.client.UNAUTHORIZED):
        raise Unhealthy(f"{options.listen_address}: returned {status}")
