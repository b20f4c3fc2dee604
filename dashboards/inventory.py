"""Every query that a dashboard sends, as it sends it where "all" is chosen for every variable: for tests and benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dashboards.grafana.fields import Document

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))")
"""Not $1, which is label_replace's."""


@dataclass(frozen=True)
class Question:
    """One query: `where` is the panel's title and the query's letter, the variable or the annotation it belongs to."""

    dashboard: str
    where: str
    kind: str
    """prometheus or loki"""
    text: str
    instant: bool
    most_points: int | None = None
    """Of each series, where the panel says how many it takes."""
    least_step: str = ""
    """Such as 1d, where the panel says how far apart points are at least."""


def questions(document: Document, windows: Mapping[str, str]) -> Iterator[Question]:
    """The queries of panels, annotations and variables. `windows` gives Grafana's own variables ($__rate_interval)."""
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
                raise ValueError(f"{uid}: the variable {variable['name']} asks for no label's values")
            text = f"count by ({inner[2]}) ({filled(inner[1])})"
            yield Question(uid, f"variable {variable['name']}", "prometheus", text, instant=True)


def panels(document: Document) -> Iterator[Document]:
    """All panels but rows, those of collapsed rows too."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel
