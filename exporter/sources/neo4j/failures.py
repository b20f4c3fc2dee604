"""Errors of the Neo4j driver by type and status code → failure reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.errors import Reason, SourceError, network_cause

if TYPE_CHECKING:
    from neo4j.exceptions import DriverError, Neo4jError

_SECURITY: Final = "Neo.ClientError.Security."
_CLIENT: Final = "Neo.ClientError."
_BY_CODE: Final = {
    "Neo.ClientError.Database.DatabaseNotFound": Reason.CONFIG,
    "Neo.ClientError.Transaction.TransactionTimedOut": Reason.TIMEOUT,
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration": Reason.TIMEOUT,
    "Neo.ClientError.Transaction.Terminated": Reason.TIMEOUT,
    "Neo.ClientError.Transaction.LockClientStopped": Reason.TIMEOUT,
    "Neo.TransientError.Transaction.Terminated": Reason.TIMEOUT,
    "Neo.TransientError.Transaction.LockClientStopped": Reason.TIMEOUT,
}


def reason_of_code(code: str) -> Reason:
    """The reason for a status code of the server, such as Neo.ClientError.Security.Unauthorized."""
    if code.startswith(_SECURITY):
        return Reason.UNAUTHORIZED
    return _BY_CODE.get(code, Reason.MALFORMED if code.startswith(_CLIENT) else Reason.UNREACHABLE)


def failure(server: str, error: Neo4jError | DriverError | ValueError) -> SourceError:
    """The sentence and reason for an error of the driver; it raises ValueError for an unknown host."""
    import neo4j.exceptions as errors

    if isinstance(error, errors.Neo4jError):
        return SourceError(reason_of_code(str(error.code)), f"Neo4j at {server}: {error.message}")
    reason = Reason.UNREACHABLE
    if isinstance(error, errors.ConfigurationError):
        reason = Reason.CONFIG
    elif isinstance(error, errors.ServiceUnavailable):
        reason = _reason_of_connection(error)
    if reason is Reason.MALFORMED or isinstance(error, errors.UnsupportedServerProduct):
        sentence = f"{server}: expected the Bolt protocol in a supported version, got something else; check the port"
        return SourceError(Reason.MALFORMED, sentence)
    return SourceError(reason, f"Neo4j at {server}: {network_cause(error)}")


def _reason_of_connection(error: BaseException) -> Reason:
    """The driver has one type for all connection failures; the cause has the network error.

    Without a network error, the server accepted the connection but does not speak Bolt.

    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return Reason.TIMEOUT
        if isinstance(cause, OSError):
            return Reason.UNREACHABLE
        cause = cause.__cause__ or cause.__context__
    return Reason.MALFORMED
