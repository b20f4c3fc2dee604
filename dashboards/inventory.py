"""Every query of a dashboard with all variables set to "All", for tests and benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dashboards.grafana.fields import Document

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))")
"""Not $1, which belongs to label_replace."""


@dataclass(frozen=True)
class Question:
    """One query. `where` is the panel title and query letter, or the name of the variable or annotation."""

    dashboard: str
    where: str
    kind: str
    """prometheus or loki"""
    text: str
    instant: bool
    most_points: int | None = None
    """Max. points per series, if the panel sets them."""
    least_step: str = ""
    """Such as 1d, if the panel sets a minimum step."""


def questions(document: Document, windows: Mapping[str, str]) -> Iterator[Question]:
    """Queries of panels, annotations and variables. `windows` sets Grafana's variables such as $__rate_interval."""
    every = {one["name"]: one.get("allValue", "") for one in document["templating"]["list"]}
    every |= {name.removeprefix("$"): value for name, value in windows.items()}
    uid = document["uid"]

    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda found: every[found[1] or found[2]], text)

    for panel in panels(document):
        for target in panel.get("targets", ()):
            kind, instant = target["datasource"]["type"], bool(target.get("instant"))
            where = f"{panel['title']} {target['refId']}"
            bounds = panel.get("maxDataPoints"), panel.get("interval", "")
            yield Question(uid, where, kind, filled(target["expr"]), instant, *bounds)
    for mark in document["annotations"]["list"]:
        if "expr" in mark:
            where = f"annotation {mark['name']}"
            yield Question(uid, where, mark["datasource"]["type"], filled(mark["expr"]), instant=False)
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            if inner is None:
                raise ValueError(f"{uid}: expected label_values() in the variable {variable['name']}")
            text = f"count by ({inner[2]}) ({filled(inner[1])})"
            yield Question(uid, f"variable {variable['name']}", "prometheus", text, instant=True)


def panels(document: Document) -> Iterator[Document]:
    """All panels except rows; includes panels of collapsed rows."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel
