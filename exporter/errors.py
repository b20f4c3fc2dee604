"""Errors of sources: a sentence, and a reason for the metric."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum


class Reason(StrEnum):
    """Why a source could not be read; the label `reason` of `fleet_exporter_source_failure`."""

    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    CONFIG = "config"
    BUG = "bug"


class SourceError(Exception):
    """One sentence about what is wrong and where, without secrets, and the reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def again(self) -> SourceError:
        """A copy of the error, because an exception that is raised repeatedly accumulates tracebacks."""
        return SourceError(self.reason, str(self))


def reason_of(error: BaseException) -> Reason:
    """The reason for an exception from a source.

    Clients raise the standard library's errors for network failures; any other exception is a bug.

    """
    error = cause_of(error)
    if isinstance(error, SourceError):
        return error.reason
    if isinstance(error, TimeoutError | asyncio.CancelledError):
        return Reason.TIMEOUT
    if isinstance(error, PermissionError):
        return Reason.UNAUTHORIZED
    if isinstance(error, OSError):
        return Reason.UNREACHABLE
    if isinstance(error, EOFError):  # asyncio.IncompleteReadError: the reply was truncated
        return Reason.MALFORMED
    return Reason.BUG


def cause_of(error: BaseException) -> BaseException:
    """The first error of an exception group, because the group's message does not contain it; other errors unchanged."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


_ERRNO = re.compile(r"\[Errno (\d+)\]")
"""How asyncio names the failures of several addresses; the error itself has no number."""


def network_cause(error: BaseException) -> str:
    """Why a connection failed, in the operating system's words and on one line, such as `Connection refused`.

    Clients wrap that error in their own, whose texts have numbers, addresses and several lines. For an error without such a
    cause, it is the first line of the error's text.
    """
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return "the host name does not resolve"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "reason", None) or str(cause)
            return f"TLS handshake failed: {reason.replace('_', ' ').lower()}"
        if isinstance(cause, OSError):
            number = cause.errno or next((int(found) for found in _ERRNO.findall(str(cause))), None)
            if number is not None and number > 0:
                return os.strerror(number)
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then its causes."""
    found: BaseException | None = error
    while found is not None:
        found = cause_of(found)
        yield found
        found = found.__cause__ or found.__context__
