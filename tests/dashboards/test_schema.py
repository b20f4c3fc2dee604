"""The dashboards against Grafana's own types: the whole document, and each panel's options and fields."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from dashboards.__main__ import all_dashboards
from tests.dashboards import grafana_types
from tests.support.servers import required

Document = dict[str, Any]

_OF_THE_DATA_SOURCE = ("expr", "step", "target", "textFormat", "titleFormat", "useValueForTime")
"""Keys of an annotation that the Prometheus and Loki data sources read; Grafana's type has the core's own alone."""

_UNTYPED_FIELDS = {"state-timeline": ("spanNulls",)}
"""Of a panel's own part of a field: Grafana's editor writes it and its timeline reads it, but no type names it."""

WHOLE = [
    pytest.param(dashboard.document(loki=loki), id=f"{dashboard.view}{'' if loki else '-without-loki'}")
    for dashboard in all_dashboards()
    for loki in (True, False)
    if loki or dashboard.needs_loki
]


@pytest.fixture(scope="session", autouse=True)
def _schemas() -> None:
    with required():
        grafana_types.prepare()


def faults(document: object, schema: Document) -> list[str]:
    """What does not fit, each with its place."""
    found = jsonschema.Draft7Validator(schema).iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]


def panels_of(document: Document) -> Iterator[Document]:
    for panel in document["panels"]:
        yield panel
        yield from panel.get("panels", ())


def overridden(override: Document) -> Document:
    """What an override changes of a panel's own part of a field."""
    own = [one for one in override["properties"] if one["id"].startswith("custom.")]
    return {one["id"].removeprefix("custom."): one["value"] for one in own}


@pytest.mark.parametrize("document", WHOLE)
def test_every_dashboard_matches_grafanas_types(document: Document) -> None:
    document = copy.deepcopy(document)
    for annotation in document["annotations"]["list"]:
        for key in _OF_THE_DATA_SOURCE:
            annotation.pop(key, None)

    assert faults(document, grafana_types.schema("dashboard")) == []


@pytest.mark.parametrize("document", WHOLE)
def test_each_panel_has_the_options_of_its_type(document: Document) -> None:
    found = []
    for panel in panels_of(document):
        if panel["type"] == "row" or panel["type"] in grafana_types.UNTYPED:
            continue
        assert grafana_types.is_typed(panel["type"]), f"no types for {panel['type']}"
        found += [
            f"{panel['title']}: {fault}"
            for fault in faults(panel["options"], grafana_types.schema(f"{panel['type']}.options"))
        ]
        if grafana_types.has_fields(panel["type"]):
            fields = grafana_types.schema(f"{panel['type']}.field")
            custom = dict(panel["fieldConfig"]["defaults"]["custom"])
            for key in _UNTYPED_FIELDS.get(panel["type"], ()):
                custom.pop(key, None)
            changed = [{} | custom | overridden(override) for override in panel["fieldConfig"]["overrides"]]
            found += [f"{panel['title']}: {fault}" for one in (custom, *changed) for fault in faults(one, fields)]

    assert found == []


def test_an_invalid_dashboard_is_detected() -> None:
    document = all_dashboards()[0].document()
    document["panels"][0]["options"]["colourMode"] = "value"
    document["editable"] = "no"

    assert faults(document, grafana_types.schema("dashboard")) != []
    kind = document["panels"][0]["type"]
    assert "colourMode" in str(faults(document["panels"][0]["options"], grafana_types.schema(f"{kind}.options")))
