"""Types of options: groups, lists, mappings, secrets, durations; addresses are in `address`."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from annotated_types import Ge, Gt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, SecretStr

from exporter.config.address import Address as Address
from exporter.config.address import paired, split

Names = Annotated[tuple[str, ...], BeforeValidator(split), AfterValidator(lambda names: tuple(dict.fromkeys(names)))]
"""A list of strings: a YAML list or comma-separated text. A repeated string counts once."""

Pairs = Annotated[dict[str, str], BeforeValidator(paired)]
"""A mapping of strings: a YAML mapping or comma-separated name=value pairs."""


def _without_controls(secret: SecretStr) -> SecretStr:
    if any(unicodedata.category(character) == "Cc" for character in secret.get_secret_value()):
        raise ValueError("expected one line of text, got control characters; write the secret again without them")
    return secret


Secret = Annotated[
    SecretStr,
    BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value),  # a file ends with a newline
    AfterValidator(_without_controls),
]
"""A password or token; surrounding white space is removed."""

Seconds = Annotated[float, Gt(0)]
Count = Annotated[int, Ge(0)]


def option(description: str, *, env: str | None = None, flag: str | None = None) -> Any:
    """An option's help, its well-known variable (`NATS_URL`), and its flag if it differs from the field name."""
    extra: dict[str, JsonValue] = {name: value for name, value in (("env", env), ("flag", flag)) if value}
    return Field(description=description, json_schema_extra=extra or None)


class Options(BaseModel):
    """A group of options: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
