"""Panels, tables and links of the framework: output and rejected input."""

from __future__ import annotations

import re
from typing import Any

import pytest
from grafanalib import core

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, OK, WARN, ApiLink, FieldOverride, Link, Threshold, steps, words
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import (
    graph,
    node_graph,
    note,
    stat,
    table,
)
from dashboards.grafana.panels.dashboard import MOST_PANELS
from dashboards.grafana.queries import PrometheusTarget, labelled, raw, selector, variable
from dashboards.rows.common import coded, worded
from exporter.metrics.promql import QueryError
from tests.dashboards.example_panels import COUNTER, DEPTH, GAUGE, KEPT, STATES, a_dashboard, a_panel


def test_queries_select_the_job_and_the_selected_exporters() -> None:
    assert selector(GAUGE, server=variable("server")).text == f't_depth{{server=~"$server", {KEPT}}}'


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (lambda: PrometheusTarget(selector(GAUGE).max("queue"), "{{server}}"), "got server"),
        (lambda: PrometheusTarget(selector(GAUGE).sum(), "all {{ queue }}"), "got queue"),
        (lambda: selector(GAUGE, stream="x"), "got stream"),
        (lambda: selector(GAUGE).rate("$__rate_interval"), "got a gauge"),
        (lambda: labelled(selector(GAUGE).sum("queue"), "title", "$1", "server", "(.+)"), "got server"),
    ],
)
def test_an_invalid_query_is_rejected(made: Any, fault: str) -> None:
    with pytest.raises(QueryError, match=fault):
        made()


def test_a_label_is_derived_from_another_with_an_escaped_pattern() -> None:
    made = labelled(selector(GAUGE).sum("queue"), "family", "$1.>", "queue", r'([^."]+)\..+')

    assert made.text.endswith(r'"family", "$1.>", "queue", "([^.\"]+)\\..+")')
    assert made.labels == {"queue", "family"}


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (lambda: stat("", "A depth.", DEPTH), "expected a title"),
        (lambda: stat("Depth", "a depth", DEPTH), "ends with a period"),
        (
            lambda: table("Depths", "Depths.", ["server"], [(FieldOverride("depth"), DEPTH)], sort="depth"),
            "expected label server in the query of depth",
        ),
        (
            lambda: table(
                "Depths", "Depths.", ["queue"], [(FieldOverride("depth"), PrometheusTarget(selector(GAUGE)))], sort="depth"
            ),
            "unexpected label instance, job, server in",
        ),
        (
            lambda: table("Depths", "Depths.", ["queue"], [(FieldOverride("depth"), DEPTH)], sort="age"),
            "expected a visible column to sort by, got age",
        ),
        (
            lambda: table("Depths", "D.", ["queue"], [(FieldOverride("depth", hidden=True), DEPTH)], sort="depth"),
            "expected a visible column to sort by, got depth",
        ),
        (
            lambda: node_graph(
                "Map", "A map.", PrometheusTarget(raw("x", "id")), PrometheusTarget(raw("y", "id", "source", "target"))
            ),
            "label title",
        ),
        (
            lambda: node_graph("Map", "A map.", PrometheusTarget(raw("x", "id", "title")), PrometheusTarget(raw("y", "id"))),
            "label source, target",
        ),
        (
            lambda: variables.of("stream", "stream", "Stream", "Streams.", selector(GAUGE)),
            "expected a label of t_depth.*got stream",
        ),
    ],
)
def test_a_misleading_panel_is_rejected(made: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        made()


def test_the_first_threshold_has_no_value() -> None:
    above = steps([Threshold(90, BAD), Threshold(50, WARN)])["steps"]
    below = steps([Threshold(0.9, BAD)], below=True)["steps"]

    assert above == [{"color": OK, "value": None}, {"color": WARN, "value": 50}, {"color": BAD, "value": 90}]
    assert below == [{"color": BAD, "value": None}, {"color": OK, "value": 0.9}]


def test_only_missing_values_are_shown_as_no_data() -> None:
    mapped = words({"0": ("down", BAD), "1": ("up", OK)})

    assert [one["type"] for one in mapped] == ["value", "special"]
    assert mapped[0]["options"]["0"]["text"] == "down"
    assert mapped[1]["options"]["match"] == "null+nan"
    assert words() == [mapped[1]]


def test_a_state_set_becomes_the_position_of_its_state() -> None:
    query = coded(STATES, ("new", "old"), "queue")

    assert query.labels == {"queue"}
    assert f't_state{{state="old", {KEPT}}} * 2' in query.text
    assert worded({"new": ("new", OK), "old": ("old", BAD)}) == {"1": ("new", OK), "2": ("old", BAD)}


def test_a_link_passes_variables_the_time_range_and_labels() -> None:
    link = Link("One", DashboardUid.AGENTS, {"agent": "name"})
    of_row, of_series = link.document(of_row=True)["url"], link.document(of_row=False)["url"]

    assert of_row.startswith("/d/fleet-agents?${prometheus_datasource:queryparam}&${job:queryparam}&")
    assert of_row.endswith("&${__url_time_range}&var-agent=${__data.fields.name}")
    assert of_series.endswith("&var-agent=${__field.labels.name}")


def test_a_link_to_the_api_fills_its_path_from_the_value() -> None:
    link = ApiLink("One", path="/api/agents/{agent}")

    assert link.document(of_row=True)["url"] == "${exporter_url:raw}/api/agents/${__data.fields.agent}"
    assert link.document(of_row=False)["targetBlank"] is True


def test_a_tables_columns_are_joined_renamed_and_ordered() -> None:
    made = table(
        "Depths",
        "Depths.",
        ["queue"],
        [
            (FieldOverride("depth", unit="locale"), DEPTH),
            (FieldOverride("done"), PrometheusTarget(selector(COUNTER).rate("5m").sum("queue"))),
        ],
        key_columns=[FieldOverride("queue", links=[Link("One", DashboardUid.EVENTS)])],
        sort="depth",
    ).to_json_data()
    merge, keep, organize = made["transformations"]

    assert merge["id"] == "merge"
    assert organize["options"]["renameByName"] == {"Value #A": "depth", "Value #B": "done"}
    kept = re.compile(keep["options"]["include"]["pattern"])
    assert [name for name in ("queue", "Value #A", "Time", "job") if kept.match(name)] == ["queue", "Value #A"]
    assert [override["matcher"]["options"] for override in made["fieldConfig"]["overrides"]] == ["queue", "depth", "done"]
    assert {target.refId for target in made["targets"]} == {"A", "B"}
    assert made["options"]["sortBy"] == [{"displayName": "depth", "desc": True}]


def test_a_node_graph_has_nodes_edges_and_links_of_nodes() -> None:
    made = node_graph(
        "Map",
        "A map.",
        PrometheusTarget(raw("x", "id", "title")),
        PrometheusTarget(raw("y", "id", "source", "target")),
        links=[Link("One", DashboardUid.EVENTS)],
    ).to_json_data()

    assert [target.refId for target in made["targets"]] == ["nodes", "edges"]
    (override,) = made["fieldConfig"]["overrides"]
    assert override["matcher"] == {"id": "byName", "options": "title"}
    assert override["properties"][0]["value"][0]["url"].startswith("/d/fleet-events?")


def test_a_gap_in_a_graph_stays_a_gap() -> None:
    field = graph("Depth", "A depth.", DEPTH, unit="locale", limits=[Threshold(5)]).to_json_data()["fieldConfig"]["defaults"]

    assert field["custom"]["spanNulls"] is False
    assert field["custom"]["thresholdsStyle"] == {"mode": "dashed"}


def test_too_many_panels_are_refused() -> None:
    row = Row("", [a_panel(width=12) for _ in range(MOST_PANELS + 1)])

    with pytest.raises(ValueError, match=f"Depths: expected at most {MOST_PANELS} panels, got {MOST_PANELS + 1}"):
        a_dashboard(row).document()


def test_panels_have_no_keys_of_older_grafana_versions() -> None:
    document = a_dashboard(Row("", [a_panel(width=12), note("About", "Depths.", width=12, height=4)])).document()

    for panel in document["panels"]:
        assert not {"span", "editable", "error", "cacheTimeout", "minSpan", "maxDataPoints"} & panel.keys()
    for target in document["panels"][0]["targets"]:
        assert target.keys() == {"refId", "expr", "datasource", "editorMode", "format", "instant", "range", "legendFormat"}


def test_the_workarounds_for_grafanalib_are_still_needed() -> None:
    """Where one of these fails, a newer grafanalib may not need dashboards/grafana/panels/panel.py."""
    assert core.SCHEMA_VERSION == 12
    assert core.Threshold("green", 0, 0.0).to_json_data()["value"] == "null"
    assert core.Target(expr="x").to_json_data()["intervalFactor"] == 2
    assert not hasattr(core, "NodeGraph")
