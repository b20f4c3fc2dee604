"""Panels that are rejected because they would show a wrong or invisible value."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import BAD, OK, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Annotation, Dashboard, bars, firing_alerts, graph, stat, table
from dashboards.grafana.queries import PrometheusTarget, of_exporters, raw, selector
from exporter.metrics.promql import QueryError
from tests.dashboards.example_panels import COUNTER, DEPTH, KEPT

RATES = PrometheusTarget(selector(COUNTER).rate("$__rate_interval").sum("queue"), "{{queue}}")
STEPS = PrometheusTarget(selector(COUNTER).increase("$__interval").sum("queue"), "{{queue}}")
OVERLAPPING = PrometheusTarget(selector(COUNTER).increase("$__rate_interval").sum("queue"), "{{queue}}")


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (lambda: stat("Done", "What.", RATES), "expected a fixed window"),
        (
            lambda: table("Done", "What.", ["queue"], [(FieldOverride("done"), RATES)], sort="done"),
            "expected a fixed window",
        ),
        (
            lambda: graph("Done", "What.", OVERLAPPING, unit="locale", bars=True),
            r"expected bars of increases over \$__interval",
        ),
        (lambda: graph("Done", "What.", OVERLAPPING, unit="locale"), r"expected bars of increases over \$__interval"),
        (lambda: graph("Done", "What.", STEPS, unit="locale", bars=True, calcs=["sum"]), "expected no sum"),
        (lambda: graph("Depth", "A depth.", DEPTH, unit="short"), "expected the unit locale"),
        (lambda: stat("Depth", "A depth.", DEPTH, unit="short", decimals=0), "expected the unit locale"),
        (
            lambda: table("D", "D.", ["queue"], [(FieldOverride("depth", unit="short"), DEPTH)], sort="depth"),
            "D, depth: expected the unit",
        ),
        (lambda: bars("Full", "How full.", DEPTH, unit="percentunit"), "expected a maximum"),
    ],
)
def test_a_wrong_number_is_rejected(made: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        made()


@pytest.mark.parametrize("name", ["up", "process_cpu_seconds_total", "scrape_duration_seconds"])
def test_process_metrics_select_the_jobs_of_exporters(name: str) -> None:
    generic = raw(f"{name}{{{KEPT}}}", "job", "instance")

    with pytest.raises(QueryError, match="every program has this metric"):
        PrometheusTarget(generic)
    assert "fleet_exporter_build_info" in PrometheusTarget(of_exporters(generic)).query.text


def test_bars_do_not_overlap_and_are_wide_enough_to_see() -> None:
    document = graph("Done", "What.", STEPS, unit="locale", bars=True).to_json_data()

    assert document["interval"] == "1m"
    assert document["maxDataPoints"] <= 60
    assert document["options"]["legend"]["calcs"] == []


@pytest.mark.parametrize(
    ("unit", "limits", "least"),
    [("percentunit", [], 1), ("percentunit", [Threshold(0.05)], 0.05), ("locale", [], 1), ("s", [], 0)],
)
def test_a_graph_of_zeros_has_an_axis_of_its_unit(unit: str, limits: list[Threshold], least: float) -> None:
    custom = graph("Depth", "A depth.", DEPTH, unit=unit, limits=limits).to_json_data()["fieldConfig"]["defaults"]["custom"]

    assert least <= custom["axisSoftMax"] <= max(4, least)


def test_the_maximum_of_a_ratio_is_kept() -> None:
    defaults = graph("Share", "A share.", DEPTH, unit="percentunit", maximum=1).to_json_data()["fieldConfig"]["defaults"]

    assert defaults["max"] == 1
    assert "axisSoftMax" not in defaults["custom"]


def test_a_percentage_in_a_cell_is_a_gauge_up_to_100() -> None:
    properties = {
        one["id"]: one["value"] for one in FieldOverride("full", unit="percentunit", bar=True).document()["properties"]
    }

    assert (properties["min"], properties["max"]) == (0, 1)


def test_a_hidden_column_is_omitted_from_its_table() -> None:
    """Grafana's tables ignore `custom.hideFrom`."""
    made = table(
        "D",
        "D.",
        ["queue"],
        [(FieldOverride("info", hidden=True), DEPTH), (FieldOverride("depth"), DEPTH)],
        sort="depth",
    ).to_json_data()

    assert made["transformations"][-1]["options"]["excludeByName"] == {"Value #A": True}
    assert "info" not in str(made["fieldConfig"]["overrides"])


def test_failures_are_not_stacked_on_top_of_the_rest() -> None:
    columns = [FieldOverride("failed", color=BAD), FieldOverride("done", color=OK)]
    failed, done = graph("A", "A.", DEPTH, unit="eps", stacked=True, columns=columns).to_json_data()["fieldConfig"][
        "overrides"
    ]

    assert {"id": "custom.stacking", "value": {"mode": "none", "group": "A"}} in failed["properties"]
    assert "custom.stacking" not in str(done)


def test_a_list_of_alerts_names_no_data_source() -> None:
    """Grafana compares the option with names and interpolates no variable in it: the list would be empty."""
    made = firing_alerts("Alerts", "Alerts.", matcher='{product="fleet-exporter"}').to_json_data()

    assert "datasource" not in made["options"]


@pytest.mark.parametrize("query", [RATES, DEPTH])
def test_an_annotation_that_would_be_a_region_is_rejected(query: PrometheusTarget) -> None:
    with pytest.raises(ValueError, match="it would draw regions"):
        Annotation("Marks", query, WARN, title="{{queue}}")


def test_an_annotation_marks_moments() -> None:
    assert Annotation("Alerts", DEPTH, WARN, title="{{queue}}", moments=True).document()["useValueForTime"] is True
    starts = PrometheusTarget(raw("(x > 0) unless (x offset $__interval > 0)", "queue"))
    assert Annotation("Starts", starts, WARN, title="{{queue}}").document()["expr"] == starts.query.text


def test_a_link_that_passes_a_name_to_another_system_is_rejected() -> None:
    def document(link: Link) -> object:
        panel = stat("Cost", "A cost.", DEPTH, width=24, links=[link])
        return Dashboard(DashboardUid.BOARD, "Costs", "What it costs.", [Row("", [panel])]).document()

    with pytest.raises(ValueError, match="the model of the ledger to fleet-vllm, which shows those of vLLM"):
        document(Link("vLLM", DashboardUid.VLLM, {"model": "queue"}))
    assert document(Link("vLLM", DashboardUid.VLLM))
    assert document(Link("Only this agent", DashboardUid.BOARD, {"agent": "queue"}))
