"""The first screen of a dashboard, about 20 rows of the grid, answers its key question."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.dashboard_uid import DashboardUid
from tests.dashboards.test_linter import DOCUMENTS

SCREEN = 20
KEY_PANELS = {
    DashboardUid.OVERVIEW: {
        "Alerts", "Backends", "Stuck agents", "Lagging consumers", "Failed RayJobs", "vLLM p95", "Failures", "Cost today",
    },
    DashboardUid.AGENTS: {"Stuck", "Incomplete", "Failures", "Councils"},
    DashboardUid.COMMUNICATIONS: {"Max lag", "Redelivery", "Missing", "Consumers"},
    DashboardUid.EVENTS: {"Events", "Failed", "Delay (p95)", "Event lag"},
    DashboardUid.STORIES: {"Stories", "Oldest", "Stories by stage"},
    DashboardUid.RAY_JOBS: {"Running", "Failed", "RayJobs"},
    DashboardUid.VLLM: {"Latency p95", "TTFT p95", "Waiting", "KV cache", "Failed"},
    DashboardUid.VALKEY: {"Memory limit used", "Hit ratio", "Evicted keys"},
    DashboardUid.GRAPH: {"Nodes", "Nodes vs 1 h max"},
    DashboardUid.BOARD: {"Oldest open", "Spent", "Budget"},
    DashboardUid.MONITORING: {"Online", "Errors", "Tickets", "Agents"},
    DashboardUid.EXPORTER: {"Exporter", "Failing", "Event lag", "Backends"},
}  # fmt: skip


def _first_screen(document: dict[str, Any]) -> set[str]:
    return {panel["title"] for panel in document["panels"] if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN}


@pytest.mark.parametrize("view", DashboardUid)
def test_the_first_screen_answers_the_key_question(view: DashboardUid) -> None:
    assert KEY_PANELS[view] <= _first_screen(DOCUMENTS[str(view)])


def test_the_overview_lists_problems_before_totals() -> None:
    places = {panel["title"]: panel["gridPos"]["y"] for panel in DOCUMENTS[str(DashboardUid.OVERVIEW)]["panels"]}

    assert places["Alerts"] == 0
    assert places["Stuck agents"] < places["Critical"] < places["Agents by state"] < places["CPU"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_variable_says_which_panels_it_affects(name: str) -> None:
    document = DOCUMENTS[name]
    own = [one for one in document["templating"]["list"] if one["type"] in ("query", "textbox") and not one["hide"]]
    panels = [inner for panel in document["panels"] for inner in (panel, *panel.get("panels", ())) if inner["type"] != "row"]
    for variable in own:
        if variable["name"] in ("job", "instance"):
            continue
        used = [f"${variable['name']}" in str(panel) or f"${{{variable['name']}" in str(panel) for panel in panels]
        assert all(used) or "ffect" in variable["description"] or not any(used), variable["name"]
