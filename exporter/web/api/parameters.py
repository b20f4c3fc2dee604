"""Query parameters: one model per resource; unknown parameters are errors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_LIMIT = 10_000


class Parameters(BaseModel):
    """Parameters of one resource. Unknown parameters return 422: a misspelled filter must not return all rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


NoParameters = Annotated[Parameters, Query()]
"""The model of a resource without parameters."""

Text = Annotated[str, Field(min_length=1, max_length=200)]
Role = Annotated[str, Field(min_length=1, max_length=40, description="Role, case-insensitive (dev, developer, qa, …).")]
Limit = Annotated[int | None, Field(ge=1, le=MAX_LIMIT, description="Maximum number of rows; default: all.")]


@dataclass(frozen=True)
class OneOf:
    """Annotation for an enumeration; case-insensitive."""

    values: tuple[str, ...]

    def _checked(self, value: str) -> str:
        known = closest(value, self.values)
        if known is None:
            raise ValueError(f"expected one of {', '.join(self.values)}")
        return known

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values)}


Row = TypeVar("Row", bound=Mapping[str, Any])


def rows(found: Iterable[Row], wanted: Mapping[str, Any], limit: int | None = None) -> list[Row]:
    """Rows that match the given values, at most `limit`."""
    conditions = [(name, value) for name, value in wanted.items() if value is not None]
    matching = [row for row in found if all(row[name] == value for name, value in conditions)]
    return matching[:limit]


def closest(value: str, known: Collection[str]) -> str | None:
    """The canonical spelling of a value; None if unknown."""
    return next((name for name in known if name.lower() == value.lower()), None)
