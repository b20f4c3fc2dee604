"""The dashboards reference is current."""

from __future__ import annotations

from pathlib import Path

from dashboards.__main__ import all_dashboards
from dashboards.reference import markdown

PAGE = Path(__file__).parents[2] / "docs/dashboards.md"


def test_the_dashboards_reference_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(all_dashboards())
