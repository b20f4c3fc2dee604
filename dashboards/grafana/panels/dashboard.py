"""A dashboard in the JSON that Grafana provisions from files: the classic model, schema version 42."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import attr
from grafanalib import core
from grafanalib._gen import DashboardEncoder

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import Document
from dashboards.grafana.layout import GridPosition, Row, places
from dashboards.grafana.panels.panel import LOKI, PROMETHEUS, Panel
from dashboards.grafana.queries import LokiTarget, PrometheusTarget
from dashboards.grafana.variables import INSTANCE, JOB, Variable, data_source

SCHEMA_VERSION: Final = 42
MOST_PANELS: Final = 25
TAG: Final = "fleet-exporter"

_evolved: Callable[..., Panel] = attr.evolve

_NAMED_BY: Final = {
    ("agent", DashboardUid.AGENTS): "the fleet",
    ("agent", DashboardUid.MONITORING): "the broker",
    ("agent", DashboardUid.BOARD): "the ledger",
    ("model", DashboardUid.BOARD): "the ledger",
    ("model", DashboardUid.VLLM): "vLLM",
}
"""The system whose names a variable has: each names its agents and models itself."""
_STARTS: Final = re.compile(r" unless .* offset \$__interval\b")

_NOT_GRAFANAS = {"__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style"}
"""Dashboard keys that grafanalib writes and Grafana no longer reads."""
_OF_OLD_PANELS = {"cacheTimeout", "editable", "error", "height", "hideTimeOverride", "minSpan", "span"}


@dataclass(frozen=True)
class Annotation:
    """Annotations on every graph: moments, from a Prometheus query or lines from Loki.

    Grafana joins values at adjacent steps to an opaque region. So a value is a moment in milliseconds (`moments`), or the
    query has no value at the step before, by `unless … offset $__interval`. Raises ValueError for other queries.

    """

    name: str
    query: PrometheusTarget | LokiTarget
    color: str
    title: str
    text: str = ""
    shown: bool = True
    moments: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.query, PrometheusTarget) and not self.moments and not _STARTS.search(self.query.query.text):
            raise ValueError(f"annotation {self.name}: expected moments, got {self.query.query.text}; it would draw regions")

    def document(self) -> Document:
        """The annotation in Grafana's JSON."""
        common: Document = {"name": self.name, "enable": self.shown, "hide": False, "iconColor": self.color}
        common |= {"titleFormat": self.title, "textFormat": self.text}
        if isinstance(self.query, LokiTarget):
            target = {"refId": "Anno", "expr": self.query.text, "queryType": "range", "maxLines": 200}
            return common | {"datasource": LOKI, "expr": self.query.text, "target": target}
        expr = self.query.query.text
        common |= {"datasource": PROMETHEUS, "expr": expr, "step": "60s", "target": {"refId": "Anno", "expr": expr}}
        return common | ({"useValueForTime": True} if self.moments else {})


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: a question, its rows and its variables."""

    view: DashboardUid
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable | Document] = ()
    annotations: Sequence[Annotation] = ()
    since: str = "now-3h"
    refresh: str = "30s"

    def document(self, *, loki: bool = True) -> Document:
        """The dashboard; without `loki`, panels and annotations that query Loki, and rows that become empty, are omitted.

        Variables that are no longer used are omitted too. Raises ValueError if there are more panels than a reader can use.

        """
        made = _with_ids(self._rows(loki=loki))
        count = sum(1 for one in made for panel in (one, *getattr(one, "panels", ())) if isinstance(panel, Panel))
        if count > MOST_PANELS:
            raise ValueError(f"{self.title}: expected at most {MOST_PANELS} panels, got {count}")
        variables: list[Document] = [data_source("prometheus", "Prometheus data source")]
        variables += [data_source("loki", "Loki data source")] * (loki and self.needs_loki)
        marks = [mark.document() for mark in self.annotations if loki or isinstance(mark.query, PrometheusTarget)]
        chosen = [one.document() if isinstance(one, Variable) else one for one in self.variables]
        asked = json.dumps([made, marks, [one["query"] for one in chosen]], cls=DashboardEncoder)
        # A fleet rarely has several exporters: they are selected on the exporter's dashboard, and links pass them on.
        variables += [replace(one, hidden=self.view is not DashboardUid.EXPORTER).document() for one in (JOB, INSTANCE)]
        variables += [_with_scope(one, made) for one in chosen if loki or _names(asked, one["name"])]
        whole = core.Dashboard(
            title=f"Fleet / {self.title}",
            uid=str(self.view),
            description=self.description,
            editable=False,
            graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
            links=[_other_dashboards()],
            panels=made,
            refresh=self.refresh,
            schemaVersion=SCHEMA_VERSION,
            tags=[TAG],
            time=core.Time(self.since, "now"),
            timezone="browser",
            version=1,
        )
        document: Document = json.loads(json.dumps(whole, cls=DashboardEncoder))
        document = {key: value for key, value in document.items() if key not in _NOT_GRAFANAS}
        document["annotations"] = {"list": [_BUILT_IN, *marks]}
        document["templating"] = {"list": variables}
        document["timepicker"] = {"refresh_intervals": ["10s", "30s", "1m", "5m", "15m"]}
        document["panels"] = [_todays(one) for one in document["panels"]]
        self._check_links(json.dumps(document["panels"]))
        return document

    def _check_links(self, panels: str) -> None:
        """Raises ValueError for a link that passes a name to a dashboard whose system calls the thing otherwise."""
        for view, query in re.findall(r"/d/([a-z-]+)\?([^\"]*)", panels):
            for name in re.findall(r"var-(\w+)=", query):
                own, other = _NAMED_BY.get((name, self.view)), _NAMED_BY.get((name, DashboardUid(view)))
                if own != other and own and other:
                    raise ValueError(
                        f"{self.title}: a link passes the {name} of {own} to {view}, which shows those of {other}"
                    )

    @property
    def needs_loki(self) -> bool:
        """Whether any panel queries Loki."""
        marks = any(isinstance(mark.query, LokiTarget) for mark in self.annotations)
        return marks or any(panel.needs_loki for row in self.rows for panel in row.panels)

    def _rows(self, *, loki: bool) -> list[core.Panel]:
        made: list[core.Panel] = []
        top = 0
        for row in self.rows:
            kept = Row(row.title, [panel for panel in row.panels if loki or not panel.needs_loki], row.collapsed)
            if not kept.panels:
                continue
            if kept.title:
                made.append(
                    core.RowPanel(title=row.title, collapsed=row.collapsed, gridPos=_grid(GridPosition(0, top, 24, 1)))
                )
                top += 1
            placed = [
                _evolved(panel, gridPos=_grid(place)) for panel, place in zip(kept.panels, places(kept, top), strict=True)
            ]
            if row.collapsed:
                made[-1].panels = placed
            else:
                made += placed
                top = max(panel.gridPos.y + panel.gridPos.h for panel in placed)
        return made


def _names(text: str, variable: str) -> bool:
    return re.search(rf"\$({variable}\b|{{{variable}\b)", text) is not None


def _with_scope(variable: Document, made: list[core.Panel]) -> Document:
    """The variable, whose description says which panels it does or does not affect."""
    shown = [one for panel in made for one in (panel, *getattr(panel, "panels", ())) if isinstance(one, Panel)]
    uses = {
        one.title: _names(json.dumps(one, cls=DashboardEncoder), variable["name"]) for one in shown if one.type != "text"
    }
    with_it, without = ([title for title, used in uses.items() if used is wanted] for wanted in (True, False))
    if not with_it or not without:
        return variable
    fewer = f"Affects {', '.join(with_it)}." if len(with_it) <= len(without) else f"Does not affect {', '.join(without)}."
    return variable | {"description": f"{variable['description']} {fewer}"}


def _with_ids(panels: list[core.Panel]) -> list[core.Panel]:
    return list(core.Dashboard(title="", panels=panels).auto_panel_ids().panels)


def _grid(place: GridPosition) -> core.GridPos:
    return core.GridPos(h=place.height, w=place.width, x=place.x, y=place.y)


def _todays(panel: Document) -> Document:
    """Removes keys of older Grafana versions and nulls; rows keep the keys of rows."""
    if panel["type"] == "row":
        kept = {key: panel[key] for key in ("type", "title", "collapsed", "gridPos", "id")}
        return kept | {"panels": [_todays(one) for one in panel["panels"]]}
    return {
        key: value
        for key, value in panel.items()
        if key not in _OF_OLD_PANELS and value is not None and not (key in ("links", "transformations") and not value)
    }


def _other_dashboards() -> core.DashboardLink:
    return core.DashboardLink(
        title="Fleet", asDropdown=True, includeVars=True, keepTime=True, tags=[TAG], type="dashboards", icon="external link"
    )


_BUILT_IN: Final[dict[str, Any]] = {
    "builtIn": 1,
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
    "enable": True,
    "hide": True,
    "iconColor": "rgba(0, 211, 255, 1)",
    "name": "Annotations & Alerts",
    "type": "dashboard",
}
