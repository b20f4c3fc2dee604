"""Fixed colors: any two in one panel differ also for color-blind readers, by simulation, and mean the same everywhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

import pytest

from dashboards.grafana import fields
from dashboards.grafana.fields import SERIES
from dashboards.grafana.panels import graph
from dashboards.grafana.queries import PrometheusTarget, raw
from dashboards.inventory import panels
from tests.dashboards.test_linter import DOCUMENTS

Document = dict[str, Any]
Triple = tuple[float, float, float]

_SIMULATED: Final[dict[str, tuple[Triple, Triple, Triple]]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
"""Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB."""
LEAST_DIFFERENCE: Final = 15
"""In CIELAB, where 2 is about the least difference that is visible side by side."""


def _lab(color: str, vision: str) -> Triple:
    """A color #rrggbb in CIELAB (D65), as it is seen."""
    shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    red, green, blue = (
        min(1.0, max(0.0, sum(weight * share for weight, share in zip(row, linear, strict=True))))
        for row in _SIMULATED[vision]
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def difference(one: str, other: str) -> float:
    """The least difference of two colors, with any form of color blindness."""
    return min(math.dist(_lab(one, vision), _lab(other, vision)) for vision in _SIMULATED)


def _colors(value: object) -> Iterator[str]:
    """Every fixed color of a panel: of states, thresholds and series."""
    if isinstance(value, list):
        for one in value:
            yield from _colors(one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("color", "fixedColor") and isinstance(inner, str) and inner.startswith("#"):
                yield inner
            yield from _colors(inner)


PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, document in DOCUMENTS.items()
    for panel in panels(document)
    if len(set(_colors(panel["fieldConfig"]))) > 1
]


@pytest.mark.parametrize("panel", PANELS)
def test_colors_of_a_panel_differ_for_every_reader(panel: Document) -> None:
    pairs = itertools.combinations(sorted(set(_colors(panel["fieldConfig"]))), 2)

    assert [(one, other) for one, other in pairs if difference(one, other) < LEAST_DIFFERENCE] == []


def test_the_simulation_sees_what_color_blind_readers_do_not() -> None:
    assert difference("#3b82f6", "#a855f7") < LEAST_DIFFERENCE  # blue and purple
    assert difference("#000000", "#ffffff") == pytest.approx(100, abs=0.1)
    assert difference("#123456", "#123456") == 0


def test_meanings_differ_for_every_reader() -> None:
    meanings = [fields.OK, fields.WARN, fields.BAD, fields.ACCENT, fields.QUIET, fields.WAITING, fields.UNKNOWN, fields.DONE]

    assert min(difference(*pair) for pair in itertools.combinations(meanings, 2)) >= LEAST_DIFFERENCE
    assert min(difference(*pair) for pair in itertools.combinations(SERIES.values(), 2)) >= LEAST_DIFFERENCE


def _overrides(*legends: str) -> list[Document]:
    lines = [PrometheusTarget(raw("x", "role"), legend) for legend in legends]
    made: list[Document] = graph("Duration", "A duration.", *lines, unit="s").overrides
    return made


def test_p50_and_p95_have_the_same_colors_everywhere() -> None:
    colors = [one["properties"][0]["value"] for one in _overrides("p95", "p99")]

    assert colors == [{"mode": "fixed", "fixedColor": SERIES[name]} for name in ("p95", "p99")]


def test_a_median_is_told_from_p95_without_its_color() -> None:
    (dashed,) = _overrides("{{role}} p95", "{{role}} p50")

    assert dashed["matcher"] == {"id": "byRegexp", "options": r"/\b(p50|median|mean)$/"}
    assert dashed["properties"] == [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}}]
    assert _overrides("{{role}} p50") == []


def test_ages_of_tasks_have_axes_of_hours_and_days() -> None:
    flow = {panel["title"]: panel for panel in panels(DOCUMENTS["fleet-board-costs"])}
    times, oldest = flow["Queue and cycle time"], flow["Oldest task"]

    assert times["fieldConfig"]["defaults"]["unit"] == "count:h"
    assert all(target["expr"].endswith("/ 3600") for target in times["targets"])
    assert oldest["fieldConfig"]["defaults"]["unit"] == "count:d"
    assert oldest["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == 7
