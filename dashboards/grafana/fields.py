"""Grafana field configuration: units, colors, thresholds, value mappings, links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts.dashboard_uid import DashboardUid

OK: Final = "#10b981"
WARN: Final = "#f59e0b"
BAD: Final = "#ef4444"
ACCENT: Final = "#3b82f6"
QUIET: Final = "#64748b"
"""Neutral: no data, disabled, idle."""
WAITING: Final = "#c7ced1"
"""Waits for something else; lighter than idle."""
UNKNOWN: Final = "#ecb2ff"
DONE: Final = "#6b5347"
"""Completed and idle again: neither good news nor work."""

SERIES: Final = {"p50": "#56b4e9", "p95": "#cc79a7", "p99": "#f0e442"}
"""Series that have the same color on every dashboard."""

NO_DATA: Final = "no data"
UP_DOWN: Final = {"1": ("up", OK), "0": ("down", BAD)}
YES_NO: Final = {"1": ("yes", OK), "0": ("no", BAD)}

Document = dict[str, Any]


@dataclass(frozen=True)
class Threshold:
    """Values of at least `value` (at most, with `below`) have this color; graphs draw a line there."""

    value: float
    color: str = BAD


def steps(limits: Sequence[Threshold], *, base: str = OK, below: bool = False) -> Document:
    """Thresholds: color `base` below the first limit. With `below`, values under a limit have its color, others `base`."""
    ordered = sorted(limits, key=lambda limit: limit.value)
    if below:
        colors = [limit.color for limit in ordered] + [base]
        values = [None, *(limit.value for limit in ordered)]
    else:
        colors = [base] + [limit.color for limit in ordered]
        values = [None, *(limit.value for limit in ordered)]
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for color, value in zip(colors, values, strict=True)],
    }


def state_words(states: Mapping[str, tuple[str, str]]) -> list[Document]:
    """Value mappings: texts and colors for numbers or texts. Null has none: a gap in a timeline stays blank."""
    options = {
        value: {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(states.items(), 1)
    }
    return [{"type": "value", "options": options}]


def words(states: Mapping[str, tuple[str, str]] | None = None) -> list[Document]:
    """Value mappings: texts and colors for numbers or texts, and "no data" for null and NaN."""
    nothing = {"type": "special", "options": {"match": "null+nan", "result": {"text": NO_DATA, "color": QUIET, "index": 0}}}
    return [*(state_words(states) if states else ()), nothing]


def check_unit(title: str, unit: str | None, decimals: int | None) -> None:
    """Raises ValueError for a count whose digits would be lost: `short` writes 1 652 as 2 K without decimals."""
    if unit == "short":
        raise ValueError(f"{title}: expected the unit locale for a count, got short (decimals {decimals})")


@dataclass(frozen=True)
class Link:
    """Link from a value to another dashboard, with variables set from the value's labels.

    `variables` maps a variable of the other dashboard to a label of the value (a column, in a table). Data source, job,
    instance and time range are passed on.

    """

    title: str
    view: DashboardUid
    variables: Mapping[str, str] | None = None

    def document(self, *, of_row: bool) -> Document:
        """The link in Grafana's JSON; in a table, a label is a field of the row."""
        place = "${{__data.fields.{}}}" if of_row else "${{__field.labels.{}}}"
        parts = ["${prometheus_datasource:queryparam}", "${job:queryparam}", "${instance:queryparam}", "${__url_time_range}"]
        parts += [f"var-{name}={place.format(label)}" for name, label in (self.variables or {}).items()]
        return {"title": self.title, "url": f"/d/{self.view}?{'&'.join(parts)}", "targetBlank": False}


@dataclass(frozen=True)
class ApiLink(Link):
    """Link from a value to the exporter's API, which has details that are never labels: tasks, stories, errors.

    `path` can contain labels of the value, such as `/api/agents/{agent}`. The dashboard needs the variable `EXPORTER_URL`.

    """

    view: DashboardUid = DashboardUid.EXPORTER
    path: str = "/"

    def document(self, *, of_row: bool) -> Document:
        """The link in Grafana's JSON; opens in a new tab."""
        place = "${__data.fields.%s}" if of_row else "${__field.labels.%s}"
        path = re.sub(r"{(\w+)}", lambda found: place % found.group(1), self.path)
        return {"title": self.title, "url": f"${{exporter_url:raw}}{path}", "targetBlank": True}


@dataclass(frozen=True)
class FieldOverride:
    """Overrides for one table column or one series of a graph, matched by its displayed `name`.

    `width` is in pixels; the columns of a table's key and labels take what is left beyond it. A `hidden` column of a
    table is only a source of labels. A `bar` is a gauge; of a percentage, from 0 to 100%.

    """

    name: str
    unit: str | None = None
    states: Mapping[str, tuple[str, str]] | None = None
    limits: Sequence[Threshold] = ()
    below: bool = False
    links: Sequence[Link] = ()
    width: int | None = None
    decimals: int | None = None
    bar: bool = False
    hidden: bool = False
    color: str | None = None

    @property
    def pixels(self) -> int:
        """The declared width, or one for the title and a number, or the longest state."""
        texts = [len(text) for text, _ in (self.states or {}).values()]
        return self.width or max(70, 7 * len(self.name) + 28, 8 * max(texts, default=0) + 20)

    def document(self, *, grows: bool | None = None) -> Document:
        """The field override in Grafana's JSON; with `grows`, of a table column that does, or does not, take free space."""
        properties: list[Document] = []

        def put(identity: str, value: object) -> None:
            properties.append({"id": identity, "value": value})

        if self.unit is not None:
            put("unit", self.unit)
        if self.decimals is not None:
            put("decimals", self.decimals)
        if self.bar:
            put("min", 0)
            if self.unit == "percentunit":
                put("max", 1)
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
        if grows is not None:
            put("custom.minWidth" if grows else "custom.width", self.pixels)
        if self.color is not None:
            put("color", {"mode": "fixed", "fixedColor": self.color})
        return {"matcher": {"id": "byName", "options": self.name}, "properties": properties}
