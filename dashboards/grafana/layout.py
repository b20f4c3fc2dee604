"""Panel layout: titled rows of panels on Grafana's 24-column grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboards.grafana.panels.panel import Panel

COLUMNS = 24
LEAST_WIDTHS = {"stat": 3, "timeseries": 6, "heatmap": 8, "state-timeline": 8, "nodeGraph": 12, "logs": 12}
"""Columns below which a panel of a type cannot be read; a line has at most eight stats."""
COLUMN_PIXELS = 50
"""Pixels per column at 1280 pixels with Grafana's menu closed."""
LEAST_LEGEND_HEIGHT = 10
"""Below this height, a table under a graph shows two and a half rows."""


class LayoutError(ValueError):
    """Panels do not fill a line, or cannot show what they contain at their size; the message is one sentence."""


@dataclass(frozen=True)
class Row:
    """A title and its panels, left to right, top to bottom; a collapsed row opens on click.

    Panels without a width share the remaining columns of their line. `title` may be empty in a dashboard's first row.

    """

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True)
class GridPosition:
    """A panel's position and size on the grid."""

    x: int
    y: int
    width: int
    height: int


def places(row: Row, top: int) -> list[GridPosition]:
    """One position for each panel of the row. Raises LayoutError."""
    made: list[GridPosition] = []
    for line in _lines(row):
        heights = {panel.height for panel in line}
        if len(heights) != 1:
            raise LayoutError(f"{row.title or 'the first row'}: expected equal heights, {_titles(line)} differ")
        free = COLUMNS - sum(panel.width or 0 for panel in line)
        open_ends = [panel for panel in line if panel.width is None]
        if (free and not open_ends) or (open_ends and (free <= 0 or free % len(open_ends))):
            raise LayoutError(
                f"{row.title or 'the first row'}: expected {COLUMNS} columns, {_titles(line)} do not fill them"
            )
        x = 0
        for panel in line:
            width = panel.width or free // len(open_ends)
            _check(panel, width)
            made.append(GridPosition(x, top, width, panel.height))
            x += width
        top += heights.pop()
    return made


def title_room(width: int) -> int:
    """Letters of a title that are visible next to Grafana's info icon in a panel of this width."""
    return 6 * width - 7


def _check(panel: Panel, width: int) -> None:
    """Raises LayoutError for a panel that is too narrow or too low for its contents."""
    where = f"panel {panel.title!r}, {width} columns wide"
    if panel.type != "text" and len(panel.title) > title_room(width):
        raise LayoutError(f"{where}: expected a title of at most {title_room(width)} letters, got {len(panel.title)}")
    if width < (least := LEAST_WIDTHS.get(panel.type, 1)):
        raise LayoutError(f"{where}: expected at least {least} columns for a {panel.type}")
    if panel.least_pixels > width * COLUMN_PIXELS:
        raise LayoutError(f"{where}: expected columns of {width * COLUMN_PIXELS} pixels in all, got {panel.least_pixels}")
    legend = panel.options.get("legend", {})
    below = legend.get("displayMode") == "table" and legend.get("placement") == "bottom"
    if panel.type == "timeseries" and below and legend.get("showLegend") and panel.height < LEAST_LEGEND_HEIGHT:
        raise LayoutError(f"{where}: expected height {LEAST_LEGEND_HEIGHT} for a legend table, got {panel.height}")


def _lines(row: Row) -> list[list[Panel]]:
    """Lines end when their widths reach 24, or before a panel of another height."""
    lines: list[list[Panel]] = []
    used = COLUMNS
    for panel in row.panels:
        if used >= COLUMNS or (lines and lines[-1][0].height != panel.height):
            lines.append([])
            used = 0
        lines[-1].append(panel)
        used += panel.width or 0
    return lines


def _titles(line: Sequence[Panel]) -> str:
    return ", ".join(panel.title for panel in line)
