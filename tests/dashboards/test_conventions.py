"""Conventions of every dashboard besides the linter's rules: layout, links, names, and current generated files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest

from alerts.dashboard_uid import DashboardUid
from alerts.rules import RECORDINGS, RULES
from dashboards.__main__ import all_dashboards, files
from dashboards.coverage import EXEMPT
from dashboards.grafana.fields import BAD, DONE, OK
from dashboards.grafana.panels.dashboard import MOST_PANELS, TAG
from dashboards.inventory import panels
from exporter.metrics.metric import Kind, Metric
from exporter.reference import metric_groups
from tests.dashboards.linter_rules import selectors
from tests.dashboards.test_linter import DOCUMENTS

Document = dict[str, Any]

COMMITTED: Final = Path(__file__).parents[2] / "deploy/helm/files/dashboards"
COLUMNS: Final = 24

every_dashboard = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


def test_every_dashboard_has_a_unique_and_valid_uid() -> None:
    uids = [str(dashboard.view) for dashboard in all_dashboards()]

    assert sorted(uids) == sorted(DashboardUid)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", uid) for uid in uids)
    assert len({document["title"] for document in DOCUMENTS.values()}) == len(uids)


@every_dashboard
def test_panels_have_unique_ids(document: Document) -> None:
    rows = [panel for panel in document["panels"] if panel["type"] == "row"]
    ids = Counter(panel["id"] for panel in (*panels(document), *rows))

    assert ids.most_common(1)[0][1] == 1


@every_dashboard
def test_dashboards_have_a_limited_number_of_panels(document: Document) -> None:
    assert 0 < sum(1 for _ in panels(document)) <= MOST_PANELS


def _grids(document: Document) -> Iterator[list[Document]]:
    """Panels on the same grid: expanded ones, and the panels of each collapsed row."""
    yield document["panels"]
    for panel in document["panels"]:
        if panel["type"] == "row" and panel["collapsed"]:
            yield panel["panels"]


@every_dashboard
def test_panels_fill_their_lines_and_never_overlap(document: Document) -> None:
    for grid in _grids(document):
        for one, other in combinations([panel["gridPos"] for panel in grid], 2):
            apart = (
                one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            )  # fmt: skip
            assert apart, (one, other)
        lines: dict[int, list[Document]] = {}
        for panel in grid:
            lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
        for line in lines.values():
            assert sum(place["w"] for place in line) == COLUMNS
            assert min(place["w"] for place in line) > 0
            assert len({place["h"] for place in line}) == 1


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


@every_dashboard
def test_the_schema_is_current_and_null_is_never_a_string(document: Document) -> None:
    assert document["schemaVersion"] >= 39
    assert re.fullmatch(r"\d+[smh]", document["refresh"])
    assert document["editable"] is False
    assert "null" not in set(_texts(document))
    assert document.get("id") is None
    assert not {"__inputs", "gnetId"} & document.keys()


@every_dashboard
def test_titles_of_narrow_panels_are_not_cut(document: Document) -> None:
    long = [panel["title"] for panel in panels(document) if panel["gridPos"]["w"] <= 4 and len(panel["title"]) > 24]

    assert long == []


@every_dashboard
def test_descriptions_name_metrics_that_exist(document: Document) -> None:
    exported = _exported()
    for panel in panels(document):
        for name, is_prefix in re.findall(r"\b((?:fleet|nats|ray|vllm|valkey|neo4j)_[a-z0-9_]+)(\*?)", panel["description"]):
            assert any(metric.startswith(name) if is_prefix else metric == name for metric in exported), name


@every_dashboard
def test_every_panel_and_variable_has_a_description(document: Document) -> None:
    for panel in panels(document):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["title"]
    assert document["description"].endswith("?") or document["description"].endswith("."), "one sentence"
    for variable in document["templating"]["list"]:
        assert variable["description"].endswith("."), variable["name"]


@every_dashboard
def test_every_other_dashboard_is_one_click_away(document: Document) -> None:
    assert document["tags"] == [TAG]
    (link,) = document["links"]
    assert (link["type"], link["tags"]) == ("dashboards", [TAG])
    assert link["includeVars"]
    assert link["keepTime"]


def _links(panel: Document) -> Iterator[Document]:
    yield from panel.get("links", ())
    yield from panel["fieldConfig"]["defaults"].get("links", ())
    for override in panel["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if one["id"] == "links":
                yield from one["value"]


def _variables(document: Document) -> set[str]:
    return {variable["name"] for variable in document["templating"]["list"]}


@every_dashboard
def test_links_lead_to_dashboards_that_have_the_variables_they_set(document: Document) -> None:
    for panel in panels(document):
        for link in _links(panel):
            if own := re.match(r"\$\{(\w+):raw\}", link["url"]):  # a page of the exporter itself
                assert own[1] in _variables(document), f"{panel['title']}: {link['url']}"
                continue
            where = urlsplit(link["url"])
            uid = where.path.removeprefix("/d/")
            assert uid in DOCUMENTS, f"{panel['title']}: {link['url']}"
            given = set(re.findall(r"\$\{(\w+):queryparam\}", where.query))
            given |= {name.removeprefix("var-") for name, _ in parse_qsl(where.query) if name.startswith("var-")}
            assert given <= _variables(DOCUMENTS[uid]), f"{panel['title']}: {link['url']}"


@every_dashboard
def test_links_take_labels_that_their_values_have(document: Document) -> None:
    for panel in panels(document):
        asked = " ".join(target["expr"] for target in panel.get("targets", ()))
        for link in _links(panel):
            for label in re.findall(r"\$\{__(?:field\.labels|data\.fields)\.(\w+)\}", link["url"]):
                assert re.search(rf"\b{label}\b", asked), f"{panel['title']}: {link['url']}"


@every_dashboard
def test_every_table_and_every_row_of_stats_has_a_link(document: Document) -> None:
    rows: dict[int, bool] = {}
    for panel in panels(document):
        if panel["type"] == "table":
            assert any(_links(panel)), panel["title"]
        if panel["type"] == "stat":
            line = panel["gridPos"]["y"]
            rows[line] = rows.get(line, False) or any(_links(panel))
    assert all(rows.values())


def _states(panel: Document, column: str) -> list[str]:
    """Colors of the states of a table's column, in the order in which its rows are sorted by them."""
    (order,) = panel["options"]["sortBy"]
    for override in panel["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if override["matcher"]["options"] == column and one["id"] == "mappings":
                coded = {float(code): state["color"] for code, state in one["value"][0].get("options", {}).items() if code}
                return [color for _, color in sorted(coded.items(), reverse=order["desc"])]
    return []


@every_dashboard
def test_tables_begin_with_what_needs_attention(document: Document) -> None:
    for panel in panels(document):
        if panel["type"] == "table":
            (order,) = panel["options"]["sortBy"]
            colors = _states(panel, order["displayName"])
            settled = [color for color in colors if color in (OK, DONE)]
            assert not settled or BAD not in colors[colors.index(settled[0]) :], panel["title"]


def test_some_tables_are_sorted_by_a_state() -> None:
    tables = [panel for document in DOCUMENTS.values() for panel in panels(document) if panel["type"] == "table"]
    sorted_by_state = {one["title"] for one in tables if _states(one, one["options"]["sortBy"][0]["displayName"])}

    assert {"RayJobs", "RayClusters", "Agents", "Backends", "Workloads"} <= sorted_by_state


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_alerts_link_to_dashboards_with_their_variables(rule: Any) -> None:
    assert set(rule.variables) <= _variables(DOCUMENTS[rule.view])


def test_the_committed_dashboards_are_up_to_date() -> None:
    made = files()

    assert {str(path.relative_to(COMMITTED)) for path in COMMITTED.rglob("*") if path.is_file()} == made.keys()
    for name, text in made.items():
        assert (COMMITTED / name).read_text() == text, f"{name} is not what dashboards/ makes: make generate"


def _declared() -> dict[str, Metric]:
    return {metric.name: metric for metrics in metric_groups().values() for metric in metrics}


def _asked_for() -> set[str]:
    """Names of all series that panels, marks, alerts and recorded queries ask for."""
    texts = [rule.query.text for rule in RULES] + [recording.query.text for recording in RECORDINGS]
    for document in DOCUMENTS.values():
        texts += [
            target["expr"]
            for panel in panels(document)
            for target in panel.get("targets", ())
            if target["datasource"]["type"] == "prometheus"
        ]
        texts += [mark["expr"] for mark in document["annotations"]["list"] if mark["datasource"]["type"] == "prometheus"]
    return {selector.name for text in texts for selector in selectors(text) if selector.name}


def _is_asked_for(metric: Metric, names: set[str]) -> bool:
    if metric.kind is Kind.HISTOGRAM:
        return any(f"{metric.name}_{part}" in names for part in ("bucket", "count", "sum"))
    return metric.name in names


def test_every_metric_is_used_or_exempt_with_a_reason() -> None:
    names = _asked_for()
    neither = {name for name, metric in _declared().items() if not _is_asked_for(metric, names) and metric not in EXEMPT}

    assert neither == set()


def test_exempt_metrics_exist_and_are_not_used() -> None:
    names = _asked_for()

    assert {metric.name for metric in EXEMPT if _is_asked_for(metric, names)} == set()
    assert {metric.name for metric in EXEMPT} <= _declared().keys()
    assert all(reason.endswith(".") for reason in EXEMPT.values())


def _exported() -> set[str]:
    """Names of all series that exist, recorded ones and Prometheus' own included; and of histograms."""
    exported = {rule.name for rule in RECORDINGS} | {"ALERTS", "ALERTS_FOR_STATE", "up"}
    for metric in _declared().values():
        parts = ("", "_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
        exported |= {f"{metric.name}{part}" for part in parts}
    return exported


def test_every_queried_series_is_exported() -> None:
    histograms = {name for name, metric in _declared().items() if metric.kind is Kind.HISTOGRAM}

    assert _asked_for() - (_exported() - histograms) == set()
