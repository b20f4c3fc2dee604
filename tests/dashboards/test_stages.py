"""Stages of stories and tasks: their places in a table, and moves between them as circles and arrows."""

from __future__ import annotations

from pathlib import Path

from dashboards.grafana.queries import PrometheusTarget
from dashboards.rows.stages import StagePanels
from exporter.fleet.stages import STORY_STAGES
from exporter.metrics.promql import Expression
from exporter.sources.fleet.samples import STORIES
from tests.dashboards.test_node_graphs import answers

STAGED = StagePanels("stories", STORIES, STORY_STAGES, ())
FLEET = {
    'fleet_stories{stage="DRAFT"}': "2x40",
    'fleet_stories{stage="PLANNED"}': "1x40",
    'fleet_story_transitions_total{from_stage="BACKLOG",to_stage="DRAFT"}': "0+1x40",
    'fleet_story_transitions_total{from_stage="DRAFT",to_stage="DESIGN"}': "4x40",
    'fleet_story_transitions_total{from_stage="TEST",to_stage="BUILD"}': "0+2x40",
}
"""Stories moved forward and back; BACKLOG, TEST and BUILD are empty; no transitions from DRAFT to DESIGN in the window."""


def over_minutes(line: PrometheusTarget) -> PrometheusTarget:
    return PrometheusTarget(Expression(line.query.text.replace("$__range", "5m"), line.query.labels))


def test_every_transition_connects_two_nodes(promtool: Path, tmp_path: Path) -> None:
    circles = {node["id"]: float(node["value"]) for node in answers(promtool, tmp_path, over_minutes(STAGED.nodes()), FLEET)}
    arrows = {
        (edge["source"], edge["target"]): float(edge["value"])
        for edge in answers(promtool, tmp_path, over_minutes(STAGED.edges()), FLEET)
    }

    assert circles == {"DRAFT": 2, "PLANNED": 1, "BACKLOG": 0, "DESIGN": 0, "TEST": 0, "BUILD": 0}
    assert arrows == {("BACKLOG", "DRAFT"): 20, ("TEST", "BUILD"): 40}


def test_stages_are_numbered_in_order_and_others_come_last(promtool: Path, tmp_path: Path) -> None:
    places = answers(promtool, tmp_path, STAGED.places(), FLEET)

    assert {stage["stage"]: float(stage["value"]) for stage in places} == {"DRAFT": 2, "PLANNED": 8}
