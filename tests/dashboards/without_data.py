"""Queries that the demo has no data for, by dashboard and place, with the reason. What is listed may have data at times."""

from __future__ import annotations

from typing import Final

WITHOUT_DATA: Final[dict[tuple[str, str], str]] = {}
