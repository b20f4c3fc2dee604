"""How reading a source fails: a sentence for people, and one of the reasons that the page shows."""

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
    """One sentence that says what is wrong and where, without secrets, and the reason it falls under."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def again(self) -> SourceError:
        """The same error as a new object: one that is raised repeatedly gathers the traceback of every raise."""
        return SourceError(self.reason, str(self))


def reason_of(error: BaseException) -> Reason:
    """The reason for an exception that a source let through.

    Clients raise the standard library's errors for what the network does; what none of them names is our own mistake.
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
    if isinstance(error, EOFError):  # asyncio.IncompleteReadError: the reply was cut short
        return Reason.MALFORMED
    return Reason.BUG


def cause_of(error: BaseException) -> BaseException:
    """The first error of an exception group, whose own message names none; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
