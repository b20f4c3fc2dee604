"""Errors of sources: a sentence, and a reason for the metric."""

from __future__ import annotations

import asyncio
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
