"""Errors of httpx by type → failure reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.errors import Reason, SourceError, network_cause

if TYPE_CHECKING:
    import httpx


def reason_of_http(error: httpx.HTTPError | httpx.InvalidURL) -> Reason:
    """The reason for a request without a complete response."""
    import httpx

    if isinstance(error, httpx.InvalidURL):
        return Reason.CONFIG
    if isinstance(error, httpx.TimeoutException):
        return Reason.TIMEOUT
    if isinstance(error, httpx.DecodingError):
        return Reason.MALFORMED
    if isinstance(error, httpx.RemoteProtocolError):
        # The parser's error is the cause of httpcore's; without one, the connection was closed before a response.
        is_response = error.__cause__ is not None and error.__cause__.__cause__ is not None
        return Reason.MALFORMED if is_response else Reason.UNREACHABLE
    return Reason.UNREACHABLE


def failure_of_http(server: str, error: httpx.HTTPError | httpx.InvalidURL) -> SourceError:
    """The sentence and reason, without what the server sent, which the text of a protocol error repeats."""
    reason = reason_of_http(error)
    sentences = {
        Reason.TIMEOUT: "expected a response in time, got none",
        Reason.MALFORMED: "expected HTTP, got an invalid response",
    }
    return SourceError(reason, f"{server}: {sentences.get(reason) or network_cause(error)}")
