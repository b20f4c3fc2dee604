"""Units of panels, columns and axes: each is a value format of Grafana's own library, or a word behind the number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboards import grafana_library
from tests.dashboards.linter_rules import NEWER_UNITS
from tests.dashboards.test_linter import DOCUMENTS
from tests.support.servers import required


@pytest.fixture(scope="module", autouse=True)
def _schemas() -> None:
    with required():
        grafana_library.prepare()


def _units(value: object) -> Iterator[str]:
    """Every unit in a dashboard: of fields, overrides, axes, cells and node graphs."""
    if isinstance(value, list):
        for one in value:
            yield from _units(one)
    elif isinstance(value, dict):
        if value.get("id") == "unit":
            yield value["value"]
        for key, inner in value.items():
            if key.lower().endswith("unit") and isinstance(inner, str):
                yield inner
            yield from _units(inner)


def test_every_unit_is_one_of_grafana() -> None:
    used = {unit for document in DOCUMENTS.values() for unit in _units(document)}

    assert {"eps", "epm", "mps", "reqpm", "s", "percentunit", "locale"} <= used
    assert {unit for unit in used if not unit.startswith("count:")} - grafana_library.units() == set()


def test_the_linters_newer_units_are_of_grafana() -> None:
    assert grafana_library.units() >= NEWER_UNITS
    assert "events/s" not in grafana_library.units()
