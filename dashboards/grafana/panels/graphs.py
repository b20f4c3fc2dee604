"""Panels with a time axis: time series, heatmap, state timeline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Final

from dashboards.grafana.fields import (
    ACCENT,
    BAD,
    NO_DATA,
    QUIET,
    SERIES,
    Document,
    FieldOverride,
    Link,
    Threshold,
    check_unit,
    state_words,
    steps,
)
from dashboards.grafana.layout import LEAST_LEGEND_HEIGHT
from dashboards.grafana.panels.panel import LOKI, PROMETHEUS, Panel, log_targets, panel, targets
from dashboards.grafana.queries import RATE, STEP, LokiTarget, PrometheusTarget

MOST_POINTS: Final = 360
"""Points per line: one per scrape in three hours. More would overlap and cost more in Prometheus."""
MOST_BARS: Final = 60
"""Bars per series: narrower bars cannot be distinguished."""
LEAST_STEP: Final = "1m"
"""The step of bars is never shorter: it needs several scrapes."""
MOST_LISTED: Final = 4
"""Series that a list below a graph can show with their values."""
MOST_STATES: Final = 150
"""Points per row of a timeline: shorter states may not be visible."""
_SOFT_MAXIMA: Final = {
    "percentunit": 1, "s": 0.01, "bytes": 1024, "Bps": 1024, "locale": 4, "none": 4, "currencyUSD": 0.01,
}  # fmt: skip
"""How far the axis reaches at least, so that a graph of zeros has no axis to 100; 1 for other units."""
_MIDDLE: Final = r"\b(p50|median|mean)$"
"""Legends of series that would differ from p95 by color only."""
_TOOLTIP = {"mode": "multi", "sort": "desc"}


def graph(
    title: str,
    description: str,
    *lines: PrometheusTarget,
    unit: str,
    width: int | None = None,
    height: int = 8,
    limits: Sequence[Threshold] = (),
    below: bool = False,
    stacked: bool = False,
    bars: bool = False,
    maximum: float | None = None,
    minimum: float | None = 0,
    links: Sequence[Link] = (),
    columns: Sequence[FieldOverride] = (),
    decimals: int | None = None,
    calcs: Sequence[str] = ("lastNotNull", "max"),
    step: str = STEP,
) -> Panel:
    """Lines over time, with alert thresholds from `limits`; `bars` are increases per `step`. Stack only parts of a whole.

    Raises ValueError for increases over overlapping windows, which a reader would add up, and for sums in the legend: a
    total is an instant increase over the range. The axis always includes 0 to the first limit, or a small maximum.

    """
    check_unit(title, unit, decimals)
    for line in lines:
        text = line.query.text
        if (bars and f"[{step}]" not in text) or re.search(rf"increase\([^\[]*\[{re.escape(RATE)}\]\) *(?:\)|$)", text):
            raise ValueError(f"{title}: expected bars of increases over {step}, got {text}")
    if "sum" in calcs:
        raise ValueError(f"{title}: expected no sum in the legend; a total is an increase over the range")
    calcs = () if bars else calcs
    lowest = min((limit.value for limit in limits), default=0)
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
        "barAlignment": 0 if not bars else -1 if step == STEP else 1,  # the increase up to a step, or from a day's start
        "scaleDistribution": {"type": "linear"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    if maximum is None:
        custom["axisSoftMax"] = round(lowest * 1.25, 6) if lowest > 0 else _SOFT_MAXIMA.get(unit, 1)
    field: Document = {
        "color": {"mode": "palette-classic-by-name"},
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
    overrides = [column.document() for column in columns]
    for column, override in zip(columns, overrides, strict=True):
        if stacked and column.color == BAD:  # on top of the others, a few failures would read as many
            override["properties"].append({"id": "custom.stacking", "value": {"mode": "none", "group": "A"}})
    overrides += _typical(lines, {column.name for column in columns})
    many = len(lines) > 1 or any(line.query.labels for line in lines)
    right = height < LEAST_LEGEND_HEIGHT and (width or 0) >= 12
    rows = right or height >= LEAST_LEGEND_HEIGHT
    few = len(lines) <= MOST_LISTED and not any(line.query.labels for line in lines)
    options: Document = {
        "legend": {
            "showLegend": many,
            "displayMode": "table" if rows and not few else "list",
            "placement": "right" if right and not few else "bottom",
            "calcs": list(calcs if rows and not few else calcs[:1] if few else ()),
            **({"sortBy": "Last *", "sortDesc": True} if rows and not few and calcs else {}),
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
        overrides=overrides,
        width=width,
        height=height,
    )
    made.maxDataPoints = MOST_BARS if bars else MOST_POINTS
    if step != STEP or any(STEP in line.query.text for line in lines):
        made.interval = LEAST_STEP if step == STEP else step
    return made


def _typical(lines: Sequence[PrometheusTarget], own: Set[str]) -> list[Document]:
    """Overrides for p50, p95 and p99, except of names in `own`; medians and means next to others are dashed."""
    legends = [line.legend for line in lines]
    found = [FieldOverride(name, color=SERIES[name]).document() for name in legends if name in SERIES and name not in own]
    middle = [bool(re.search(_MIDDLE, legend)) for legend in legends]
    if any(middle) and not all(middle):
        style = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}}
        found.append({"matcher": {"id": "byRegexp", "options": f"/{_MIDDLE}/"}, "properties": [style]})
    return found


def heatmap(
    title: str, description: str, line: PrometheusTarget, *, unit: str, width: int | None = None, height: int = 8
) -> Panel:
    """Rate of each histogram bucket over time. The query returns increases by `le`."""
    options: Document = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "locale", "decimals": 2},
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
    *lines: PrometheusTarget | LokiTarget,
    states: Mapping[str, tuple[str, str]],
    width: int | None = None,
    height: int = 10,
    links: Sequence[Link] = (),
    rows: int = 20,
) -> Panel:
    """A state timeline with one row per series; `rows` per page.

    Gaps between Prometheus samples are no data. Loki has one point per state change, which lasts until the next.

    """
    from_prometheus = [line for line in lines if isinstance(line, PrometheusTarget)]
    from_loki = [line for line in lines if isinstance(line, LokiTarget)]
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
        "mappings": state_words(states),
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
