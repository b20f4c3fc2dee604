"""Panels in the JSON of current Grafana versions, on grafanalib's base class.

The panel classes of grafanalib 0.7.1 write JSON of older versions: thresholds whose first step is the text "null",
gauges and heatmaps without options, tables with keys removed in schema version 38. Only its base class, layout types
and encoder are used.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence

import attr
from grafanalib import core

from dashboards.grafana.fields import Document
from dashboards.grafana.queries import RATE, STEP, LokiTarget, PrometheusTarget

PROMETHEUS = {"type": "prometheus", "uid": "${prometheus_datasource}"}
LOKI = {"type": "loki", "uid": "${loki_datasource}"}


@attr.s
class Panel(core.Panel):  # type: ignore[misc]  # grafanalib is not typed
    """A panel of any `type`; `needs_loki` marks panels omitted without Loki."""

    type: str = attr.ib(default="", kw_only=True)
    options: Document = attr.ib(factory=dict, kw_only=True)
    field: Document = attr.ib(factory=dict, kw_only=True)
    overrides: list[Document] = attr.ib(factory=list, kw_only=True)
    width: int | None = attr.ib(default=None, kw_only=True)
    needs_loki: bool = attr.ib(default=False, kw_only=True)
    least_pixels: int = attr.ib(default=0, kw_only=True)

    def to_json_data(self) -> Document:
        """The panel in Grafana's JSON."""
        document: Document = self.panel_json({"type": self.type, "options": self.options})
        document["fieldConfig"] = {"defaults": self.field, "overrides": self.overrides}
        return document


@attr.s
class PanelTarget(core.Target):  # type: ignore[misc]  # as above
    """A query without the keys that only Graphite and Grafana before 8 read."""

    extra: Document = attr.ib(factory=dict, kw_only=True)

    def to_json_data(self) -> Document:
        """The query in Grafana's JSON."""
        document: Document = {"refId": self.refId, "expr": self.expr, "datasource": self.datasource} | self.extra
        return document


_panel: Callable[..., Panel] = Panel
_target: Callable[..., PanelTarget] = PanelTarget  # grafanalib has no type annotations


def targets(
    lines: Sequence[PrometheusTarget], *, instant: bool = False, table: bool = False, names: str = ""
) -> list[PanelTarget]:
    """Prometheus queries named A, B, C … or by `names`; `instant` queries only the end of the time range.

    Raises ValueError for an instant query over $__rate_interval, which depends on the time range and on the panel's width.

    """
    made = []
    for name, line in zip(names or string.ascii_uppercase, lines, strict=False):
        if instant and (RATE in line.query.text or STEP in line.query.text):
            raise ValueError(f"{line.query.text}: expected a fixed window in a query of the current value")
        extra: Document = {
            "editorMode": "code",
            "format": "table" if table else "time_series",
            "instant": instant,
            "range": not instant,
            "legendFormat": line.legend or "__auto",
        }
        if line.exemplar:
            extra["exemplar"] = True
        made.append(_target(refId=name, expr=line.query.text, datasource=PROMETHEUS, extra=extra))
    return made


def log_targets(logs: LokiTarget, *, instant: bool = False) -> list[PanelTarget]:
    """One Loki query."""
    extra = {"editorMode": "code", "queryType": "instant" if instant else "range"}
    if logs.legend:
        extra["legendFormat"] = logs.legend
    return [_target(refId="A", expr=logs.text, datasource=LOKI, extra=extra)]


def panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[PanelTarget],
    *,
    options: Document,
    field: Document,
    overrides: Sequence[Document] = (),
    width: int | None = None,
    height: int = 8,
    transformations: Sequence[Document] = (),
    datasource: Mapping[str, str] = PROMETHEUS,
    extra: Document | None = None,
    least_pixels: int = 0,
) -> Panel:
    """Any panel. Raises ValueError without a title or a description."""
    if not title or not description.endswith("."):
        raise ValueError(f"panel {title!r}: expected a title and a description that ends with a period")
    return _panel(
        type=kind,
        title=title,
        description=description,
        dataSource=dict(datasource),
        targets=list(queries),
        options=options,
        field=field,
        overrides=list(overrides),
        width=width,
        height=height,
        maxDataPoints=None,
        transformations=list(transformations),
        needs_loki=datasource == LOKI,
        extraJson=extra,
        least_pixels=least_pixels,
    )
