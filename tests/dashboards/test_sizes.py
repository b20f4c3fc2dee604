"""Layouts that are rejected because a title, table, legend or stat is not readable at its size."""

from __future__ import annotations

import pytest

from dashboards.grafana.fields import FieldOverride
from dashboards.grafana.layout import LayoutError, Row, places, title_room
from dashboards.grafana.panels import Panel, graph, stat, table
from dashboards.grafana.panels.figures import MOST_COLUMNS
from tests.dashboards.example_panels import DEPTH
from tests.dashboards.test_refusals import STEPS


def a_stat(title: str, width: int) -> Panel:
    return stat(title, "A depth.", DEPTH, width=width)


def a_table(columns: int, *, width: int, pixels: int | None = None) -> Panel:
    made = [(FieldOverride(f"c{number}", width=pixels), DEPTH) for number in range(columns)]
    return table("Depths", "Depths.", ["queue"], made, sort="queue", width=width)


@pytest.mark.parametrize(("width", "room"), [(3, 11), (4, 17), (6, 29)])
def test_a_title_fits_beside_the_info_icon(width: int, room: int) -> None:
    rest = stat("Rest", "A depth.", DEPTH, width=24 - width)

    assert title_room(width) == room
    assert len(places(Row("", [a_stat("x" * room, width), rest]), 0)) == 2
    with pytest.raises(LayoutError, match=f"expected a title of at most {room} letters, got {room + 1}"):
        places(Row("", [a_stat("x" * (room + 1), width), rest]), 0)


def test_stats_are_wide_enough_for_their_value() -> None:
    assert len(places(Row("", [a_stat(str(n), 3) for n in range(8)]), 0)) == 8
    with pytest.raises(LayoutError, match="at least 3 columns for a stat"):
        places(Row("", [stat(str(n), "A depth.", DEPTH, width=2) for n in range(12)]), 0)


def test_a_table_has_columns_that_a_reader_can_compare() -> None:
    assert a_table(MOST_COLUMNS - 1, width=24)
    with pytest.raises(ValueError, match=f"at most {MOST_COLUMNS} columns, got {MOST_COLUMNS + 1}"):
        a_table(MOST_COLUMNS, width=24)


def test_a_table_wider_than_its_panel_is_rejected() -> None:
    rest = a_stat("Rest", 12)
    rest.height = 10

    assert places(Row("", [a_table(4, width=12, pixels=100), rest]), 0)
    with pytest.raises(LayoutError, match="expected columns of 600 pixels in all, got 910"):
        places(Row("", [a_table(8, width=12, pixels=100), rest]), 0)


def test_every_column_has_a_width_and_name_columns_fill_the_rest() -> None:
    overrides = a_table(2, width=24, pixels=90).overrides
    widths = [{one["id"]: one["value"] for one in override["properties"]} for override in overrides]

    assert [override["matcher"]["options"] for override in overrides] == ["queue", "c0", "c1"]
    assert widths[0]["custom.minWidth"] > 0
    assert [one["custom.width"] for one in widths[1:]] == [90, 90]


def test_a_hidden_column_takes_no_room() -> None:
    columns = [(FieldOverride("info", hidden=True), DEPTH), (FieldOverride("depth", width=90), DEPTH)]

    whole, without = (table("D", "D.", ["queue"], some, sort="depth") for some in (columns, columns[1:]))
    assert whole.least_pixels == without.least_pixels


@pytest.mark.parametrize(
    ("height", "width", "mode", "placement"),
    [(8, 8, "list", "bottom"), (8, 12, "table", "right"), (10, 8, "table", "bottom"), (12, 24, "table", "bottom")],
)
def test_a_legend_fits_its_panel(height: int, width: int, mode: str, placement: str) -> None:
    legend = graph("Depth", "A depth.", DEPTH, unit="locale", height=height, width=width).options["legend"]

    assert (legend["displayMode"], legend["placement"]) == (mode, placement)


def test_a_legend_table_in_a_low_panel_is_rejected() -> None:
    low = graph("Done", "What.", STEPS, unit="locale", height=8, width=24)
    low.options["legend"] |= {"displayMode": "table", "placement": "bottom"}

    with pytest.raises(LayoutError, match="expected height 10 for a legend table, got 8"):
        places(Row("", [low]), 0)
