"""What panels show for hand-made answers, by Grafana's own library: columns of tables, texts, colors, "no data"."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dashboards.grafana.fields import BAD, OK, FieldOverride, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Panel, graph, stat, table
from dashboards.inventory import panels
from tests.dashboards import grafana_library
from tests.dashboards.example_panels import DEPTH, a_dashboard
from tests.dashboards.test_linter import DOCUMENTS
from tests.support.servers import required

Document = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _schemas() -> None:
    with required():
        grafana_library.prepare()


def answer(value: str, **labels: str) -> Document:
    return {"metric": labels, "value": [1_767_607_200, value]}


def document(made: Panel) -> Document:
    """The panel in a dashboard, across its whole width."""
    made.width = 24
    (panel,) = panels(a_dashboard(Row("", [made])).document())
    return panel


def shown(made: Panel, **answers: list[Document]) -> Document:
    panel = document(made)
    (result,) = grafana_library.shown((panel, grafana_library.frames(panel, answers)))
    return result


def test_a_stat_writes_its_number_and_takes_the_color_of_its_threshold() -> None:
    made = stat("Depth", "A depth.", DEPTH, limits=[Threshold(1000, BAD)])
    few, many = (shown(made, A=[answer(value, queue="q")])["stats"] for value in ("999", "1652"))

    assert [(one["name"], one["text"], one["color"]) for one in few + many] == [("q", "999", OK), ("q", "1,652", BAD)]


def test_a_value_that_is_no_number_reads_no_data() -> None:
    (one,) = shown(stat("Depth", "A depth.", DEPTH), A=[answer("NaN", queue="q")])["stats"]

    assert one["text"] == "no data"


def test_a_state_reads_its_word() -> None:
    made = stat("State", "A state.", DEPTH, states={"1": ("up", OK), "0": ("down", BAD)})
    stats = shown(made, A=[answer("1", queue="a"), answer("0", queue="b")])["stats"]

    assert [(one["name"], one["text"], one["color"]) for one in stats] == [("a", "up", OK), ("b", "down", BAD)]


def test_a_table_joins_its_queries_and_leaves_out_hidden_columns() -> None:
    columns = [
        FieldOverride("info", hidden=True),
        FieldOverride("depth", decimals=0),
        FieldOverride("full", unit="percentunit"),
    ]
    made = table("D", "D.", ["queue"], [(column, DEPTH) for column in columns], sort="depth")
    both, one = answer("1638", queue="a"), answer("0.5", queue="b")
    (frame,) = shown(made, A=[both, one], B=[both], C=[one])["frames"]

    assert {field["name"]: field["texts"] for field in frame["fields"]} == {
        "queue": ["a", "b"], "depth": ["1638", "no data"], "full": ["no data", "50%"],
    }  # fmt: skip


def test_a_legend_has_the_last_value_and_the_maximum() -> None:
    line = {"metric": {"queue": "q"}, "values": [[0, "1"], [15, "5"], [30, "2"], [45, "NaN"]]}
    (legend,) = shown(graph("Depth", "A depth.", DEPTH, unit="locale", height=10), A=[line])["legend"]

    assert legend == {"name": "q", "texts": {"lastNotNull": "2", "max": "5"}}


def _columns(panel: Document) -> list[str]:
    return [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]


def test_every_table_shows_the_columns_that_it_configures() -> None:
    """A renamed or missing field would lose its unit, color and links."""
    tables = {
        f"{name}: {panel['title']}": panel
        for name, one in DOCUMENTS.items()
        for panel in panels(one)
        if panel["type"] == "table"
    }
    given = []
    for panel in tables.values():
        (include,) = [
            step["options"]["include"]["pattern"] for step in panel["transformations"] if "include" in step["options"]
        ]
        labels = re.findall(r"\w+(?=\|)", include)
        found = [answer("1", **{label: f"a {label}" for label in labels})]
        frames = grafana_library.frames(panel, {target["refId"]: found for target in panel["targets"]})
        given.append((panel, frames))
    results = grafana_library.shown(*given)

    assert len(tables) > 30
    for (place, panel), result in zip(tables.items(), results, strict=True):
        (frame,) = result["frames"]
        assert sorted(field["name"] for field in frame["fields"]) == sorted(_columns(panel)), place
        assert all(text != "" for field in frame["fields"] for text in field["texts"]), place
