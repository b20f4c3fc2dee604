"""Panel layout: titled rows of panels on Grafana's 24-column grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboards.grafana.panels.panel import Panel

COLUMNS = 24


class LayoutError(ValueError):
    """A row does not fill the 24 columns, or has adjacent panels of unequal height; the message is one sentence."""


@dataclass(frozen=True)
class Row:
    """A title and its panels, left to right, top to bottom; a collapsed row opens on click.

    Panels without a width share the remaining columns of their line. `title` may be empty in a dashboard's first row.

    """

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True)
class Place:
    """A panel's position and size on the grid."""

    x: int
    y: int
    width: int
    height: int


def places(row: Row, top: int) -> list[Place]:
    """One position for each panel of the row. Raises LayoutError."""
    made: list[Place] = []
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
            made.append(Place(x, top, width, panel.height))
            x += width
        top += heights.pop()
    return made


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
