"""How values look: units, colours, thresholds, words for states, links. Plain pieces of Grafana's field configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts.view import View

OK: Final = "#10b981"
WARN: Final = "#f59e0b"
BAD: Final = "#ef4444"
ACCENT: Final = "#3b82f6"
QUIET: Final = "#64748b"
"""Neither good nor bad: no data, not watched, at rest."""

NO_DATA: Final = "no data"
UP_DOWN: Final = {"1": ("up", OK), "0": ("down", BAD)}
YES_NO: Final = {"1": ("yes", OK), "0": ("no", BAD)}

Document = dict[str, Any]


@dataclass(frozen=True)
class Limit:
    """From `value` on (or down to it, with `below`) a number has that colour; graphs draw a line there."""

    value: float
    colour: str = BAD


def steps(limits: Sequence[Limit], *, base: str = OK, below: bool = False) -> Document:
    """Thresholds: `base` colour up to the first limit. `below`: what is under a limit has its colour, the rest `base`."""
    ordered = sorted(limits, key=lambda limit: limit.value)
    if below:
        colours = [limit.colour for limit in ordered] + [base]
        values = [None, *(limit.value for limit in ordered)]
    else:
        colours = [base] + [limit.colour for limit in ordered]
        values = [None, *(limit.value for limit in ordered)]
    return {
        "mode": "absolute",
        "steps": [{"color": colour, "value": value} for colour, value in zip(colours, values, strict=True)],
    }


def words(states: Mapping[str, tuple[str, str]] | None = None) -> list[Document]:
    """Value mappings: words and colours for numbers or texts, and "no data" for what is not a number."""
    nothing = {"type": "special", "options": {"match": "null+nan", "result": {"text": NO_DATA, "color": QUIET, "index": 0}}}
    if not states:
        return [nothing]
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(states.items(), 1)
    }
    return [{"type": "value", "options": options}, nothing]


@dataclass(frozen=True)
class Link:
    """From a value to another dashboard, with variables set from the value's labels.

    `variables` maps a variable of the other dashboard to a label of the value (a column, in a table). Data source, job,
    instance and the time shown come along.
    """

    title: str
    view: View
    variables: Mapping[str, str] | None = None

    def document(self, *, of_row: bool) -> Document:
        """As Grafana has it; in a table a label is a field of the row."""
        place = "${{__data.fields.{}}}" if of_row else "${{__field.labels.{}}}"
        parts = ["${prometheus_datasource:queryparam}", "${job:queryparam}", "${instance:queryparam}", "${__url_time_range}"]
        parts += [f"var-{name}={place.format(label)}" for name, label in (self.variables or {}).items()]
        return {"title": self.title, "url": f"/d/{self.view}?{'&'.join(parts)}", "targetBlank": False}


@dataclass(frozen=True)
class ApiLink(Link):
    """From a value to the exporter's own API, which knows what no label may hold: tasks, stories, errors.

    `path` may name labels of the value, as `/api/agents/{agent}`. The dashboard needs the variable `EXPORTER_URL`.
    """

    view: View = View.EXPORTER
    path: str = "/"

    def document(self, *, of_row: bool) -> Document:
        """As Grafana has it; opened beside the dashboard."""
        place = "${__data.fields.%s}" if of_row else "${__field.labels.%s}"
        path = re.sub(r"{(\w+)}", lambda found: place % found.group(1), self.path)
        return {"title": self.title, "url": f"${{exporter_url:raw}}{path}", "targetBlank": True}


@dataclass(frozen=True)
class Column:
    """How one column of a table, or one series of a graph, differs from the rest. `name` is what its head says."""

    name: str
    unit: str | None = None
    states: Mapping[str, tuple[str, str]] | None = None
    limits: Sequence[Limit] = ()
    below: bool = False
    links: Sequence[Link] = ()
    width: int | None = None
    decimals: int | None = None
    bar: bool = False
    hidden: bool = False
    colour: str | None = None

    def document(self) -> Document:
        """An override of Grafana's, by the field's name."""
        properties: list[Document] = []

        def put(identity: str, value: object) -> None:
            properties.append({"id": identity, "value": value})

        if self.unit is not None:
            put("unit", self.unit)
        if self.decimals is not None:
            put("decimals", self.decimals)
        if self.states is not None:
            put("mappings", words(self.states))
            put("custom.cellOptions", {"type": "color-text"})
        if self.limits:
            put("thresholds", steps(self.limits, below=self.below))
            put("custom.cellOptions", {"type": "gauge", "mode": "basic"} if self.bar else {"type": "color-text"})
            put("color", {"mode": "thresholds"})
        elif self.bar:
            put("custom.cellOptions", {"type": "gauge", "mode": "basic"})
        if self.links:
            put("links", [link.document(of_row=True) for link in self.links])
        if self.width is not None:
            put("custom.width", self.width)
        if self.colour is not None:
            put("color", {"mode": "fixed", "fixedColor": self.colour})
        if self.hidden:
            put("custom.hideFrom", {"viz": True, "legend": True, "tooltip": True})
        return {"matcher": {"id": "byName", "options": self.name}, "properties": properties}
