"""Places of panels: lines that fill the grid, rows that are open or collapsed, and rows without Loki."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.grafana import variables
from dashboards.grafana.fields import WARN
from dashboards.grafana.layout import COLUMNS, LayoutError, Row, places
from dashboards.grafana.panels import (
    Annotation,
    logs,
    note,
)
from dashboards.grafana.queries import LokiTarget, selector
from tests.dashboards.example_panels import GAUGE, a_dashboard, a_panel


@pytest.mark.parametrize(
    ("widths", "fault"),
    [
        ([(10, 4)], "expected 24 columns"),
        ([(12, 4), (12, 8)], "expected 24 columns"),
        ([(20, 4), (8, 4)], "expected 24 columns"),
        ([(None, 4)] * 5, "expected 24 columns"),
        ([(12, 4), (None, 4), (12, 4)], "expected 24 columns"),
        ([(20, 4), (None, 4), (None, 4), (8, 4)], "expected 24 columns"),
        ([(24, 4), (None, 4), (23, 4), (None, 4)], "expected 24 columns"),
    ],
)
def test_a_row_that_does_not_fill_the_grid_is_rejected(widths: list[tuple[int | None, int]], fault: str) -> None:
    row = Row("Depths", [a_panel(str(n), width=width, height=height) for n, (width, height) in enumerate(widths)])

    with pytest.raises(LayoutError, match=f"Depths: .*{fault}"):
        places(row, 0)


@st.composite
def lines(draw: st.DrawFn) -> list[tuple[list[int | None], int]]:
    """Lines that fill the grid: widths, some unset if they are equal shares of the rest, and a height."""
    made: list[tuple[list[int | None], int]] = []
    for _ in range(draw(st.integers(1, 6))):
        cuts = sorted(draw(st.sets(st.integers(1, COLUMNS - 1), max_size=5)))
        widths: list[int | None] = [right - left for left, right in zip([0, *cuts], [*cuts, COLUMNS], strict=True)]
        if draw(st.booleans()):
            widths = [None] * draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
        height = draw(st.integers(2, 14).filter(lambda height: not made or height != made[-1][1]))
        made.append((widths, height))
    return made


@given(lines(), st.integers(0, 100))
def test_places_never_overlap_and_always_fill(drawn: list[tuple[list[int | None], int]], top: int) -> None:
    panels = [note("Depth", "Depths.", width=width, height=height) for widths, height in drawn for width in widths]
    made = places(Row("Depths", panels), top)
    cells = [(x, y) for place in made for x in range(place.x, place.x + place.width)
             for y in range(place.y, place.y + place.height)]  # fmt: skip

    assert len(made) == len(panels)
    assert len(cells) == len(set(cells))
    total = sum(height for _, height in drawn)
    assert set(cells) == {(x, y) for x in range(COLUMNS) for y in range(top, top + total)}


@given(st.lists(st.tuples(st.none() | st.integers(1, 24), st.integers(2, 4)), min_size=1, max_size=12))
def test_any_widths_fill_the_grid_or_are_rejected(sizes: list[tuple[int | None, int]]) -> None:
    row = Row("Depths", [note("Depth", "Depths.", width=width, height=height) for width, height in sizes])
    try:
        made = places(row, 0)
    except LayoutError:
        return
    assert all(place.width > 0 for place in made)
    bottom = max(place.y + place.height for place in made)
    cells = [(x, y) for place in made for x in range(place.x, place.x + place.width)
             for y in range(place.y, place.y + place.height)]  # fmt: skip
    assert sorted(cells) == sorted((x, y) for x in range(COLUMNS) for y in range(bottom))


def test_an_open_row_precedes_its_panels_and_a_collapsed_row_contains_them() -> None:
    document = a_dashboard(
        Row("", [a_panel(width=24)]),
        Row("Open", [a_panel("One", width=24)]),
        Row("Closed", [a_panel("Two", width=24)], collapsed=True),
        Row("Last", [a_panel("Three", width=24)]),
    ).document()
    seen = [(panel["title"], panel["gridPos"]["y"]) for panel in document["panels"]]

    assert seen == [("Depth", 0), ("Open", 4), ("One", 5), ("Closed", 9), ("Last", 10), ("Three", 11)]
    assert [panel["title"] for panel in document["panels"][3]["panels"]] == ["Two"]
    assert len({panel["id"] for panel in (*document["panels"], *document["panels"][3]["panels"])}) == 7


def test_without_loki_no_panel_queries_it_and_the_grid_is_filled() -> None:
    family = variables.of("queue", "queue", "Queue", "Queues.", selector(GAUGE))
    search = variables.text_box("search", "Search", "Text of an event.")
    dashboard = a_dashboard(
        Row("Both", [a_panel(), a_panel("Events", loki=True)]),
        Row("Events alone", [logs("More", "Lines.", LokiTarget("{family=~`.+`} |~ `$search`"), height=4)]),
        variables=[family, search],
        annotations=[Annotation("Events", LokiTarget('{family="planning"}'), WARN, title="{{subject}}")],
    )
    with_it, without = dashboard.document(), dashboard.document(loki=False)

    assert dashboard.needs_loki
    assert "loki" in str(with_it["templating"])
    assert "loki" not in str(without).lower()
    assert "search" not in [variable["name"] for variable in without["templating"]["list"]]
    assert [(panel["title"], panel["gridPos"]["w"]) for panel in without["panels"]] == [("Both", 24), ("Depth", 24)]
