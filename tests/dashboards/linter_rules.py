"""The rules of Grafana's dashboard-linter, each as a function from a dashboard to its violations.

Where the linter lets something through by accident, the rule here is the stricter: a counter with matchers is a counter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

import promql_parser
from grafanalib import formatunits

from dashboards.inventory import panels
from tests.dashboards.logql import LogQLError, check, range_windows

Document = dict[str, Any]
_Node = TypeVar("_Node")

RATE_WINDOW: Final = timedelta(hours=4, minutes=13, seconds=7)
"""Stands for $__rate_interval, so that no window which is written out can be taken for it."""
_WINDOWS: Final = {
    "$__rate_interval": "4h13m7s", "$__range": "5h13m7s", "$__interval": "6h13m7s", "$__auto": "7h13m7s",
}  # fmt: skip
_WITH_QUERIES: Final = {"stat", "table", "timeseries", "gauge"}
_WITH_PROMQL: Final = _WITH_QUERIES | {"state-timeline", "bargauge", "heatmap", "nodeGraph"}
NEWER_UNITS: Final = frozenset({"eps", "epm", "mps", "reqpm"})
"""Units of Grafana that grafanalib does not list."""
_UNITS: Final = {value for name, value in vars(formatunits).items() if name.isupper()} | NEWER_UNITS
"""A unit `count:` is a word of the dashboard's own."""
_RATES: Final = {"rate", "irate"}
_OF_COUNTERS: Final = _RATES | {"increase"}


class Fault(NamedTuple):
    """`panel` is empty for what a dashboard breaks as a whole."""

    panel: str
    message: str


Rule = Callable[[Document], Iterator[Fault]]


def expanded(text: str) -> str:
    """PromQL with Grafana's windows filled in; other variables stand in strings, where any text may be."""
    for name, window in _WINDOWS.items():
        text = text.replace(name, window).replace(f"${{{name.removeprefix('$')}}}", window)
    return text


def parsed(text: str) -> promql_parser.Expr:
    """Raises ValueError for invalid PromQL."""
    return promql_parser.parse(expanded(text))


def _found(text: str, kind: type[_Node]) -> list[_Node]:
    """Every node of a kind; none for invalid PromQL, which is a separate rule."""
    found: list[_Node] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, kind):
            found.append(node)
        return True

    try:
        promql_parser.walk(parsed(text), visit)
    except ValueError:
        return []
    return found


def selectors(text: str) -> list[promql_parser.VectorSelector]:
    """Every selector of a query, including range selectors."""
    return _found(text, promql_parser.VectorSelector)


def _calls(text: str) -> list[promql_parser.Call]:
    return _found(text, promql_parser.Call)


def variables(document: Document, kind: str) -> list[Document]:
    """The dashboard's variables of a type: query, datasource, textbox."""
    return [one for one in document["templating"]["list"] if one["type"] == kind]


def targets(document: Document, kind: str) -> Iterator[tuple[Document, str]]:
    """(panel, query) of every query to a kind of data source."""
    for panel in panels(document):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == kind:
                yield panel, target["expr"]


def _template_datasource(document: Document) -> Iterator[Fault]:
    found = variables(document, "datasource")
    if not found:
        yield Fault("", "no data source can be chosen")
    if found and found[0]["query"] != "prometheus":
        yield Fault("", "the first data source is not Prometheus, by which the linter judges the rest")
    for one in found:
        if one["name"] != f"{one['query']}_datasource" or one["label"] != f"{one['query'].capitalize()} data source":
            yield Fault("", f"the data source {one['name']} ({one['label']}) is not named after its type")


def _template_matcher(name: str) -> Rule:
    def rule(document: Document) -> Iterator[Fault]:
        found = [one for one in document["templating"]["list"] if one["name"] == name]
        if len(found) != 1:
            yield Fault("", f"there is not one variable {name}")
            return
        wanted = {
            "type": "query", "multi": True, "allValue": ".+", "label": name.capitalize(),
            "datasource": {"type": "prometheus", "uid": "${prometheus_datasource}"},
        }  # fmt: skip
        for key, value in wanted.items():
            if found[0].get(key) != value:
                yield Fault("", f"{key} of the variable {name} is {found[0].get(key)!r}")

    return rule


def _template_promql(document: Document) -> Iterator[Fault]:
    for one in variables(document, "query"):
        found = re.fullmatch(r"label_values\((.+), *(\w+)\)", one["query"]["query"])
        try:
            parsed(found[1] if found else "no query for a label's values")
        except ValueError as error:
            yield Fault("", f"the variable {one['name']}: {error}")


def _template_reload(document: Document) -> Iterator[Fault]:
    for one in variables(document, "query"):
        if one["refresh"] != 2:
            yield Fault("", f"the variable {one['name']} is not asked again when the time changes")


def _panel_datasource(document: Document) -> Iterator[Fault]:
    known = {f"${{{one['name']}}}" for one in variables(document, "datasource")}
    for panel in panels(document):
        asked = [panel, *panel.get("targets", ())] if panel["type"] != "text" else []
        for one in asked:
            uid = one["datasource"]["uid"] if "datasource" in one else panel["options"].get("datasource")
            if uid not in known:
                yield Fault(panel["title"], f"asks {uid}, which is no data source to choose")


def _panel_title(document: Document) -> Iterator[Fault]:
    for panel in panels(document):
        if not panel.get("title") or not panel.get("description"):
            yield Fault(panel.get("title", ""), f"panel {panel['id']} has no title or no description")


def _panel_units(document: Document) -> Iterator[Fault]:
    for panel in panels(document):
        if panel["type"] not in _WITH_QUERIES:
            continue
        defaults = panel["fieldConfig"]["defaults"]
        units = [value["value"] for one in panel["fieldConfig"]["overrides"] for value in one["properties"]
                 if value["id"] == "unit"]  # fmt: skip
        if "unit" in defaults or not defaults["mappings"]:
            units.append(defaults.get("unit", ""))
        for unit in units:
            if unit not in _UNITS and not unit.startswith("count:"):
                yield Fault(panel["title"], f"{unit!r} is no unit of Grafana's")


def _panel_no_targets(document: Document) -> Iterator[Fault]:
    for panel in panels(document):
        if panel["type"] in _WITH_PROMQL and not panel.get("targets"):
            yield Fault(panel["title"], "asks nothing")


def _target_promql(document: Document) -> Iterator[Fault]:
    for panel, query in targets(document, "prometheus"):
        try:
            parsed(query)
        except ValueError as error:
            yield Fault(panel["title"], f"{error}: {query}")


def _target_rate_interval(document: Document) -> Iterator[Fault]:
    """Unlike the linter's, for instant queries a fixed window: a current value must not depend on the panel's width."""
    for panel in panels(document):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] != "prometheus":
                continue
            instant = bool(target.get("instant"))
            for call in _calls(query := target["expr"]):
                over = getattr(call.args[0], "range", None) == RATE_WINDOW if call.func.name in _RATES else not instant
                if over is instant:
                    wanted = "a fixed window" if instant else "$__rate_interval"
                    yield Fault(panel["title"], f"{call.func.name}() is not taken over {wanted}: {query}")


def _target_matcher(label: str) -> Rule:
    def rule(document: Document) -> Iterator[Fault]:
        for panel, query in targets(document, "prometheus"):
            for selector in selectors(query):
                found = [(one.op, one.value) for one in selector.matchers.matchers if one.name == label]
                if found != [(promql_parser.MatchOp.Re, f"${label}")]:
                    yield Fault(panel["title"], f'{selector} is not kept to {label}=~"${label}"')

    return rule


def _target_counter(document: Document) -> Iterator[Fault]:
    for panel, query in targets(document, "prometheus"):
        counted = [
            call.args[0].vector_selector.name
            for call in _calls(query)
            if call.func.name in _OF_COUNTERS and isinstance(call.args[0], promql_parser.MatrixSelector)
        ]
        for selector in selectors(query):
            if selector.name and selector.name.endswith("_total"):
                if selector.name not in counted:
                    yield Fault(panel["title"], f"the counter {selector.name} is shown without rate() or increase()")
                    continue
                counted.remove(selector.name)


def _target_logql(document: Document) -> Iterator[Fault]:
    for panel, query in targets(document, "loki"):
        try:
            check(query)
        except LogQLError as error:
            yield Fault(panel["title"], f"{error}: {query}")


def _target_logql_auto(document: Document) -> Iterator[Fault]:
    for panel, query in targets(document, "loki"):
        for window in range_windows(query):
            if window != "$__auto":
                yield Fault(panel["title"], f"the window of a range is {window} and not $__auto")


def _uneditable(document: Document) -> Iterator[Fault]:
    if document["editable"] is not False:
        yield Fault("", "it can be edited in the browser, where a change is lost")


RULES: Final[dict[str, Rule]] = {
    "template-datasource-rule": _template_datasource,
    "template-job-rule": _template_matcher("job"),
    "template-instance-rule": _template_matcher("instance"),
    "template-label-promql-rule": _template_promql,
    "template-on-time-change-reload-rule": _template_reload,
    "panel-datasource-rule": _panel_datasource,
    "panel-title-description-rule": _panel_title,
    "panel-units-rule": _panel_units,
    "panel-no-targets-rule": _panel_no_targets,
    "target-promql-rule": _target_promql,
    "target-rate-interval-rule": _target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": _target_counter,
    "target-logql-rule": _target_logql,
    "target-logql-auto-rule": _target_logql_auto,
    "uneditable-dashboard": _uneditable,
}
