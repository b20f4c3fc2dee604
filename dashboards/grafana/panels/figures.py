"""Panels with the values at the end of the time range: stat, bar gauge, table, node graph."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dashboards.grafana.fields import (
    ACCENT,
    NO_DATA,
    QUIET,
    Document,
    FieldOverride,
    Link,
    Threshold,
    check_unit,
    steps,
    words,
)
from dashboards.grafana.panels.panel import Panel, panel, targets
from dashboards.grafana.queries import PrometheusTarget, labelled, raw
from exporter.metrics.promql import Query

MOST_COLUMNS: Final = 9
"""Columns of a table, whose reader compares rows; further ones belong in a table of details."""
TEXT_PIXELS: Final = 110
"""Least width of a column with a name."""
_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(
    title: str,
    description: str,
    *lines: PrometheusTarget,
    unit: str = "locale",
    width: int | None = None,
    height: int = 4,
    states: Mapping[str, tuple[str, str]] | None = None,
    limits: Sequence[Threshold] = (),
    below: bool = False,
    base: str | None = None,
    links: Sequence[Link] = (),
    names: bool = False,
    decimals: int | None = None,
    background: bool = False,
    text: bool = False,
    columns: Sequence[FieldOverride] = (),
) -> Panel:
    """A stat panel. A window must be fixed or the whole range. `states` maps values to texts; `names` shows each series'
    legend, `text` shows only the legend.

    `columns` are overrides for single series by legend, such as links.

    """
    check_unit(title, unit, decimals)
    mode = "name" if text else "value_and_name" if names else "value"
    color = base or (QUIET if states else ACCENT if not limits else None)
    field: Document = {
        "color": {"mode": "thresholds"},
        "unit": unit,
        "noValue": NO_DATA,
        "mappings": words(states),
        "thresholds": steps(limits, below=below, **({"base": color} if color else {})),
        "links": [link.document(of_row=False) for link in links],
    }
    if decimals is not None:
        field["decimals"] = decimals
    options: Document = {
        "colorMode": "background_solid" if background else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": _LAST,
        "showPercentChange": False,
        "textMode": mode,
        "wideLayout": True,
    }
    return panel(
        "stat",
        title,
        description,
        targets(lines, instant=True),
        options=options,
        field=field,
        overrides=[column.document() for column in columns],
        width=width,
        height=height,
    )


def bars(
    title: str,
    description: str,
    *lines: PrometheusTarget,
    unit: str,
    width: int | None = None,
    height: int = 8,
    limits: Sequence[Threshold] = (),
    below: bool = False,
    maximum: float | None = None,
    links: Sequence[Link] = (),
    base: str = ACCENT,
    decimals: int | None = None,
) -> Panel:
    """One bar for each series. Raises ValueError for a percentage without a maximum."""
    check_unit(title, unit, decimals)
    if unit == "percentunit" and maximum is None:
        raise ValueError(f"{title}: expected a maximum for a percentage")
    field: Document = {
        "color": {"mode": "thresholds"},
        "unit": unit,
        "min": 0,
        "noValue": NO_DATA,
        "mappings": words(),
        "thresholds": steps(limits, below=below, base=base),
        "links": [link.document(of_row=False) for link in links],
    }
    for name, value in (("max", maximum), ("decimals", decimals)):
        if value is not None:
            field[name] = value
    options: Document = {
        "displayMode": "basic",
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "maxVizHeight": 28,
        "minVizHeight": 12,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": "horizontal",
        "reduceOptions": _LAST,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    made = targets(lines, instant=True)
    return panel("bargauge", title, description, made, options=options, field=field, width=width, height=height)


def table(
    title: str,
    description: str,
    key: Sequence[str],
    columns: Sequence[tuple[FieldOverride, PrometheusTarget]],
    *,
    key_columns: Sequence[FieldOverride] = (),
    labels: Mapping[str, str] | None = None,
    width: int | None = None,
    height: int = 10,
    sort: str,
    descending: bool = True,
    states: Mapping[str, tuple[str, str]] | None = None,
    rows: int | None = None,
) -> Panel:
    """A table with a row per combination of the `key` labels and a column per query, joined on these labels.

    The rows that a reader looks for come first, by the column `sort`. `labels` maps further labels of the queries to
    column titles. Other labels would split rows: raises ValueError if a query has one, or lacks one of the key, if there
    are more than nine columns, or if none of them is `sort`.

    """
    shown = dict(labels or {})
    wide = {column.name: column for column in key_columns}
    texts = [wide.get(name, FieldOverride(name, width=TEXT_PIXELS)) for name in (*key, *shown.values())]
    texts = [column if column.width else replace(column, width=max(TEXT_PIXELS, column.pixels)) for column in texts]
    numbers = [column for column, _ in columns if not column.hidden]
    if len(texts) + len(numbers) > MOST_COLUMNS:
        raise ValueError(f"{title}: expected at most {MOST_COLUMNS} columns, got {len(texts) + len(numbers)}")
    if sort not in {column.name for column in (*texts, *numbers)}:
        raise ValueError(f"{title}: expected a visible column to sort by, got {sort}")
    for column, line in columns:
        if missing := set(key) - line.query.labels:
            raise ValueError(f"{title}: expected label {', '.join(sorted(missing))} in the query of {column.name}")
        if more := line.query.labels - set(key) - shown.keys():
            raise ValueError(
                f"{title}: unexpected label {', '.join(sorted(more))} in the query of {column.name}; it would split rows"
            )
    for column in (*key_columns, *(column for column, _ in columns)):
        check_unit(f"{title}, {column.name}", column.unit, column.decimals)
    letters = string.ascii_uppercase[: len(columns)]
    heads = {f"Value #{letter}": column.name for letter, (column, _) in zip(letters, columns, strict=True)}
    if len(columns) == 1:
        heads = {"Value": columns[0][0].name}
    heads |= shown
    hidden = {head: True for head, name in heads.items() if name in {column.name for column, _ in columns if column.hidden}}
    order = {name: index for index, name in enumerate([*key, *shown, *(name for name in heads if name not in shown)])}
    keep = "|".join([*(f"{name}" for name in (*key, *shown)), r"Value.*"])
    transformations: list[Document] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"pattern": f"^({keep})$"}}},
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": order, "renameByName": heads}},
    ]
    field: Document = {
        "color": {"mode": "thresholds"},
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
        "mappings": words(states),
        "noValue": NO_DATA,
        "thresholds": steps(()),
    }
    options: Document = {"cellHeight": "sm", "enablePagination": rows is not None, "frameIndex": 0, "showHeader": True}
    options["sortBy"] = [{"displayName": sort, "desc": descending}]
    if rows is not None:
        options["pageSize"] = rows
    return panel(
        "table",
        title,
        description,
        targets([line for _, line in columns], instant=True, table=True),
        options=options,
        field=field,
        overrides=[*(one.document(grows=True) for one in texts), *(one.document(grows=False) for one in numbers)],
        width=width,
        height=height,
        transformations=transformations,
        least_pixels=sum(column.pixels for column in (*texts, *numbers)),
    )


def node_graph(
    title: str,
    description: str,
    nodes: PrometheusTarget,
    edges: PrometheusTarget,
    *,
    width: int | None = None,
    height: int = 14,
    unit: str = "",
    links: Sequence[Link] = (),
) -> Panel:
    """A node graph. `nodes` has the labels id and title, and may have color; `edges` id, source and target.

    The value is the main stat, as text with `unit` behind it. `links` open from a node. Every source and target must be a
    node: Grafana fails on an edge to a missing node.

    """
    for line, needed in ((nodes, {"id", "title"}), (edges, {"id", "source", "target"})):
        if missing := needed - line.query.labels:
            raise ValueError(f"{title}: expected label {', '.join(sorted(missing))} in {line.query.text}")
    lines = [PrometheusTarget(_as_text(line.query, unit)) for line in (nodes, edges)]
    made = targets(lines, instant=True, table=True)
    made[0].refId, made[1].refId = "nodes", "edges"
    options: Document = {"layoutAlgorithm": "layered", "zoomMode": "cooperative", "nodes": {}, "edges": {}}
    opened: Document = {"matcher": {"id": "byName", "options": "title"}}
    opened["properties"] = [{"id": "links", "value": [link.document(of_row=True) for link in links]}]
    return panel(
        "nodeGraph",
        title,
        description,
        made,
        options=options,
        field={"noValue": NO_DATA, "mappings": words()},
        overrides=[opened] if links else [],
        width=width,
        height=height,
    )


def _as_text(query: Query, unit: str) -> Query:
    """The value as label mainstat, rounded; empty for NaN. The panel writes numbers as 281.00 and the ID of their unit."""
    kept = sorted(query.labels)
    counted = raw(f'count_values by ({", ".join(kept)}) ("mainstat", round({query.text}, 0.01))', *kept, "mainstat")
    numbers = labelled(counted, "mainstat", "", "mainstat", "NaN")
    return labelled(numbers, "mainstat", f"$1 {unit}", "mainstat", "(.+)") if unit else numbers
