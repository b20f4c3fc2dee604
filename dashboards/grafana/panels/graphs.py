"""Panels with a time axis: time series, heatmap, state timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dashboards.grafana.fields import ACCENT, NO_DATA, QUIET, Column, Document, Limit, Link, steps, words
from dashboards.grafana.panels.panel import LOKI, PROMETHEUS, Panel, log_targets, panel, targets
from dashboards.grafana.queries import Line, Logs

MOST_POINTS: Final = 360
"""Points per line: one per scrape in three hours. More would overlap and cost more in Prometheus."""
MOST_STATES: Final = 150
"""Points per row of a timeline: shorter states may not be visible."""
_TOOLTIP = {"mode": "multi", "sort": "desc"}


def graph(
    title: str,
    description: str,
    *lines: Line,
    unit: str,
    width: int | None = None,
    height: int = 8,
    limits: Sequence[Limit] = (),
    below: bool = False,
    stacked: bool = False,
    bars: bool = False,
    maximum: float | None = None,
    minimum: float | None = 0,
    links: Sequence[Link] = (),
    columns: Sequence[Column] = (),
    decimals: int | None = None,
    calcs: Sequence[str] = ("lastNotNull", "max"),
) -> Panel:
    """Lines over time, with alert thresholds from `limits`. Stack only the parts of a whole."""
    shading = 25 if stacked or bars else 8
    custom: Document = {
        "drawStyle": "bars" if bars else "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else shading,
        "gradientMode": "none",
        "spanNulls": False,  # a failed collection must be visible as a gap
        "showPoints": "never",
        "pointSize": 4,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisPlacement": "auto",
        "axisLabel": "",
        "axisBorderShow": False,
        "barAlignment": 0,
        "scaleDistribution": {"type": "linear"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    field: Document = {
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "unit": unit,
        "noValue": NO_DATA,
        "mappings": [],
        "thresholds": steps(limits, base="transparent", below=below),
        "links": [link.document(of_row=False) for link in links],
    }
    for name, value in (("min", minimum), ("max", maximum), ("decimals", decimals)):
        if value is not None:
            field[name] = value
    many = len(lines) > 1 or any(line.query.labels for line in lines)
    options: Document = {
        "legend": {
            "showLegend": many,
            "displayMode": "table",
            "placement": "bottom",
            "calcs": list(calcs),
            "sortBy": "Last *",
            "sortDesc": True,
        },
        "tooltip": _TOOLTIP,
    }
    made = panel(
        "timeseries",
        title,
        description,
        targets(lines),
        options=options,
        field=field,
        overrides=[column.document() for column in columns],
        width=width,
        height=height,
    )
    made.maxDataPoints = MOST_POINTS
    return made


def heatmap(title: str, description: str, line: Line, *, unit: str, width: int | None = None, height: int = 8) -> Panel:
    """Rate of each histogram bucket over time. The query returns increases by `le`."""
    options: Document = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short", "decimals": 1},
        "color": {
            "mode": "scheme",
            "scheme": "Blues",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
            "fill": ACCENT,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},  # hide empty cells
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False},
        "showValue": "never",
    }
    field: Document = {
        "custom": {
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "scaleDistribution": {"type": "linear"},
        },
        "unit": unit,
        "noValue": NO_DATA,
    }
    made = targets([line])
    made[0].extra["format"] = "heatmap"
    made = panel("heatmap", title, description, made, options=options, field=field, width=width, height=height)
    made.maxDataPoints = MOST_STATES
    return made


def timeline(
    title: str,
    description: str,
    *lines: Line | Logs,
    states: Mapping[str, tuple[str, str]],
    width: int | None = None,
    height: int = 10,
    links: Sequence[Link] = (),
    rows: int = 20,
) -> Panel:
    """A state timeline with one row per series; `rows` per page.

    Gaps between Prometheus samples are no data. Loki has one point per state change, which lasts until the next.

    """
    from_prometheus = [line for line in lines if isinstance(line, Line)]
    from_loki = [line for line in lines if isinstance(line, Logs)]
    if from_prometheus and from_loki:
        raise ValueError(f"{title}: expected only Prometheus or only Loki queries, got both")
    options: Document = {
        "alignValue": "left",
        "mergeValues": True,
        "perPage": rows,
        "rowHeight": 0.85,
        "showValue": "never",
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    field: Document = {
        # In threshold mode, Grafana merges equal values and loses the texts (grafana/grafana#41075).
        "color": {"mode": "fixed", "fixedColor": QUIET},
        "custom": {
            "fillOpacity": 80,
            "lineWidth": 0,
            **({"spanNulls": True} if from_loki else {}),
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "axisPlacement": "auto",
        },
        "mappings": words(states),
        "noValue": NO_DATA,
        "links": [link.document(of_row=False) for link in links],
    }
    made = panel(
        "state-timeline",
        title,
        description,
        log_targets(from_loki[0]) if from_loki else targets(from_prometheus),
        options=options,
        field=field,
        width=width,
        height=height,
        datasource=LOKI if from_loki else PROMETHEUS,
    )
    made.maxDataPoints = MOST_STATES
    return made
