"""A Source: what the exporter can read, its options, and how reading it fails.

SourceError            a sentence for people, and one of five reasons for the page
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Ge, Gt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, SecretStr

from exporter.metric import Metric, Sample


class Reason(StrEnum):
    """Why a source could not be read; the label `reason` of `fleet_exporter_source_failure`."""

    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    BUG = "bug"


class SourceError(Exception):
    """One sentence that says what is wrong and where, without secrets, and the reason it falls under."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def reason_of(error: BaseException) -> Reason:
    """The reason for an exception that a source let through.

    Clients raise the standard library's errors for what the network does; what none of them names is our own mistake.
    """
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


class Address(SecretStr):
    """A URL that may hold a password: shown anywhere, it shows everything but the credentials."""

    def _display(self) -> str:
        scheme, separator, rest = self.get_secret_value().rpartition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}"

    @property
    def server(self) -> str:
        """host:port (or whatever stands there), the value of the label `server`."""
        return self._display().rpartition("://")[2].partition("/")[0].partition("?")[0]


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list of words: a YAML list, or one text with commas."""

Addresses = Annotated[tuple[Address, ...], BeforeValidator(_split)]
"""A list of addresses: a YAML list, or one text with commas."""


def _paired(value: Any) -> Any:
    return dict(part.partition("=")[::2] for part in _split(value)) if isinstance(value, str) else value


Pairs = Annotated[dict[str, str], BeforeValidator(_paired)]
"""A mapping of words: a YAML mapping, or one text of name=value with commas."""

Seconds = Annotated[float, Gt(0)]
Count = Annotated[int, Ge(0)]


def option(description: str, *, env: str | None = None, flag: str | None = None) -> Any:
    """An option's help, the well-known variable that also sets it (`NATS_URL`), and a flag that the field's name is not."""
    extra: dict[str, JsonValue] = {name: value for name, value in (("env", env), ("flag", flag)) if value}
    return Field(description=description, json_schema_extra=extra or None)


class Options(BaseModel):
    """A group of options: frozen, and every key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class Source(Options):
    """One backend: its fields are its options, `collect()` reads it.

    A subclass in `exporter/sources/` named like its module is found without being listed anywhere. It answers:

    - `collect()`: the samples that are true now; it raises SourceError (or a client's OSError) when it cannot know;
    - `close()`: drops the connection; called after every failed reading and at the end;
    - `targets()`: the instances to ask, when one group of options names several servers;
    - `follow()`: for sources that are told of changes, the task that listens as long as the program lives, and
      `settled()`, which waits until it has the whole picture.
    """

    timeout: Annotated[Seconds, option("Longest time one reading may take, in seconds.")] = 5.0
    max_series: Annotated[Count, option("Series kept of one reading; what is over is dropped and counted.")] = 250_000

    kind: ClassVar[str] = ""
    """The value of the label `source`, the name of the options group and of the module."""

    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Every metric that `collect` may give: the reference is made from it, and a sample of another is refused."""

    same_server_as: ClassVar[tuple[str, type[Options]] | None] = None
    """The group, and the options in it, that say where this source's server is when its own group does not."""

    @property
    def enabled(self) -> bool:
        """Whether it was given an address."""
        raise NotImplementedError

    @property
    def server(self) -> str:
        """host:port of the one server this instance reads, without credentials; empty where there is none."""
        return ""

    def targets(self) -> Sequence[Self]:
        """The instances to read now; the same objects from one call to the next, since they hold connections."""
        return (self,)

    async def collect(self) -> Iterable[Sample]:
        raise NotImplementedError

    async def follow(self) -> None:
        """Runs for as long as the program does; returns where there is nothing to follow."""

    async def settled(self) -> None:
        """Returns when what `follow` builds up is complete for the first time; at once for a source that is asked."""

    async def close(self) -> None:
        """Drop whatever is open; the next reading opens it again."""
