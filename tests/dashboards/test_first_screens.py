"""The first screen of a dashboard, about 20 rows of the grid, answers its key question."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.view import View
from tests.dashboards.test_linter import DOCUMENTS

SCREEN = 20
KEY_PANELS = {
    View.OVERVIEW: {
        "Alerts", "Backends", "Stuck agents", "Lagging consumers", "Failed RayJobs", "vLLM p95", "Failures", "Cost today",
    },
    View.AGENTS: {"Stuck", "Incomplete", "Success", "Councils"},
    View.COMMUNICATIONS: {"Max lag", "Redelivery", "Missing", "Consumers"},
    View.EVENTS: {"Events", "Failures", "Delay (p95)", "Event lag"},
    View.STORIES: {"Stories", "Oldest", "Stories by stage"},
    View.RAY_JOBS: {"Running", "Failed", "RayJobs"},
    View.VLLM: {"Latency p95", "TTFT p95", "Waiting", "KV cache", "Failed"},
    View.VALKEY: {"Memory limit used", "Hit ratio", "Evicted keys"},
    View.GRAPH: {"Nodes", "Nodes vs 1 h max"},
    View.BOARD: {"Oldest open", "Spent", "Budget"},
    View.MONITORING: {"Online", "Errors", "Tickets", "Agents"},
    View.EXPORTER: {"Exporter", "Failing", "Event lag", "Backends"},
}  # fmt: skip


def _first_screen(document: dict[str, Any]) -> set[str]:
    return {panel["title"] for panel in document["panels"] if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN}


@pytest.mark.parametrize("view", View)
def test_the_first_screen_answers_the_key_question(view: View) -> None:
    assert KEY_PANELS[view] <= _first_screen(DOCUMENTS[str(view)])


def test_the_overview_names_what_is_wrong_before_it_counts() -> None:
    places = {panel["title"]: panel["gridPos"]["y"] for panel in DOCUMENTS[str(View.OVERVIEW)]["panels"]}

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
