"""Timelines of Prometheus and of Loki, links to the exporter's API, and what goes with Loki."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.dashboard_uid import DashboardUid
from dashboards.__main__ import all_dashboards
from dashboards.grafana import variables
from dashboards.grafana.fields import OK, ApiLink
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, logs, stat, timeline
from dashboards.grafana.queries import LokiTarget, PrometheusTarget, selector, variable
from dashboards.rows.common import coded
from dashboards.rows.event_log import events
from exporter.sources.fleet.samples import AGENT_STATE, COUNCIL_AGENTS

STATES = {"1": ("up", OK)}
AGENTS = PrometheusTarget(selector(COUNCIL_AGENTS, role=variable("role")).sum())


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for dashboard in all_dashboards():
        for panel in dashboard.document()["panels"]:
            found += [panel, *panel.get("panels", ())]
    return found


def document(loki: bool, *more: Any) -> dict[str, Any]:
    """A dashboard with a panel of each data source; only Loki queries use the story."""
    return Dashboard(
        view=DashboardUid.AGENTS,
        title="Test",
        description="A test.",
        variables=[
            variables.of("role", "role", "Role", "Roles.", selector(COUNCIL_AGENTS)),
            variables.text_box("story", "Story", "A story.", ".+"),
            *more,
        ],
        rows=[
            Row("", [stat("Agents", "Agents.", AGENTS, width=24)]),
            Row("Events", [logs("Events", "Events.", events('family=~".+"', 'story=~"$story"'), width=24)]),
        ],
    ).document(loki=loki)


def names(document: dict[str, Any]) -> set[str]:
    return {one["name"] for one in document["templating"]["list"]}


def test_merged_states_keep_their_text() -> None:
    """By thresholds, Grafana shows the threshold instead of the word (grafana/grafana#41075)."""
    timelines = [panel for panel in panels() if panel["type"] == "state-timeline"]

    assert timelines
    for panel in timelines:
        assert panel["options"]["mergeValues"]
        assert panel["fieldConfig"]["defaults"]["color"]["mode"] == "fixed"


def test_a_state_from_loki_lasts_until_the_next() -> None:
    made = timeline("States", "States.", LokiTarget('last_over_time({a="b"} | unwrap c [$__auto])', "{{c}}"), states=STATES)

    assert made.needs_loki
    assert made.field["custom"]["spanNulls"] is True
    assert made.to_json_data()["targets"][0].to_json_data()["legendFormat"] == "{{c}}"


def test_a_gap_between_samples_of_prometheus_is_kept() -> None:
    assert "spanNulls" not in timeline("States", "States.", AGENTS, states=STATES).field["custom"]


def test_a_gap_in_a_timeline_is_blank() -> None:
    """A text for null would be drawn as a band."""
    mappings = timeline("States", "States.", AGENTS, states=STATES).field["mappings"]

    assert [one["type"] for one in mappings] == ["value"]


def test_a_search_covers_the_whole_event() -> None:
    text = events('family="agent"', 'role=~"$role"', containing="text").text

    assert text.startswith('{family="agent"} |~ `(?i)${text:regex}` | role')
    assert text.index("label_format payload=`{{__line__}}`") < text.index("line_format `")


def test_a_timeline_has_one_data_source() -> None:
    with pytest.raises(ValueError, match="got both"):
        timeline("States", "States.", AGENTS, LokiTarget('{a="b"}'), states=STATES)


def test_variables_of_loki_queries_are_omitted_without_loki() -> None:
    assert {"role", "story", "loki_datasource"} <= names(document(loki=True))
    assert names(document(loki=False)) == {"prometheus_datasource", "job", "instance", "role"}


def test_a_variable_used_by_another_variable_is_kept() -> None:
    of_agents = selector(AGENT_STATE, role=variable("role"), agent=variable("story"))
    agent = variables.of("agent", "agent", "Agent", "Agents.", of_agents)

    assert "story" in names(document(False, agent))


def test_a_link_to_the_api_names_the_row() -> None:
    link = ApiLink("Its tasks", path="/api/agents/{agent}")

    assert link.document(of_row=True)["url"] == "${exporter_url:raw}/api/agents/${__data.fields.agent}"
    assert link.document(of_row=False)["url"] == "${exporter_url:raw}/api/agents/${__field.labels.agent}"


def test_a_dashboard_with_api_links_has_a_variable_for_the_url() -> None:
    for dashboard in all_dashboards():
        made = dashboard.document()
        if "${exporter_url:raw}" in str(made["panels"]):
            assert "exporter_url" in names(made), dashboard.view


def test_a_state_of_two_exporters_is_not_summed() -> None:
    assert coded(AGENT_STATE, ("idle", "failed"), "agent").text.startswith("max by (agent)")
