"""The types that options are declared with: groups, addresses, lists, mappings, durations."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge, Gt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, SecretStr


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
