"""The sentence for a failed connection: the operating system's words, whatever a client wraps around them."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from exporter.errors import network_cause
from tests.support.pages import listener


def wrapped(cause: BaseException) -> BaseException:
    """An error of a client that names its cause."""
    error = ConnectionError("could not connect (reason: …):\nsecond line")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] …"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "the host name does not resolve"),
        (ExceptionGroup("all failed", [OSError(errno.ENETUNREACH, "")]), "Network is unreachable"),
        (ValueError("no cause at all"), "could not connect (reason: …):"),
    ],
)
def test_the_cause_of_a_wrapped_error_is_its_sentence(error: BaseException, sentence: str) -> None:
    assert network_cause(wrapped(error)) == sentence


def test_a_failed_handshake_has_its_reason() -> None:
    with listener(lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n")) as port:
        context = ssl.create_default_context()
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError) as raised:
            context.wrap_socket(plain, server_hostname="localhost")

    assert network_cause(wrapped(raised.value)) == "TLS handshake failed: wrong version number"


def test_an_error_without_a_text_is_named() -> None:
    assert network_cause(RuntimeError()) == "RuntimeError"
