"""The node graphs' queries, evaluated by promtool: every arrow begins and ends at a circle, whatever the labels are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from dashboards import knowledge_graph
from dashboards.grafana.fields import ACCENT, OK, QUIET, WARN
from dashboards.grafana.panels import Panel, node_graph
from dashboards.grafana.queries import PrometheusTarget, raw
from dashboards.rows import topology

Found = list[dict[str, str]]
"""The labels of each series of an answer, and its value under "value"."""

_SAMPLE = re.compile(r"\{([^{}]*)\} (\S+?)(?=[,\"\n]|$)")
_PAIR = re.compile(r'(\w+)=\\?"(.*?)\\?"(?:, |$)')


def answers(promtool: Path, folder: Path, line: PrometheusTarget, given: Mapping[str, str]) -> Found:
    """What a query gives after ten minutes of these series, one value each 15 seconds."""
    text = re.sub(r"\$[a-z]+", ".+", line.query.text.replace("$__rate_interval", "1m"))
    scraped = {series.replace("{", '{job="fleet-exporter",instance="one:9847",'): values for series, values in given.items()}
    document = {
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": series, "values": values} for series, values in scraped.items()],
                "promql_expr_test": [{"expr": text, "eval_time": "10m", "exp_samples": [{"labels": "none", "value": 0}]}],
            }
        ],
    }
    test = folder / "test.yaml"
    test.write_text(yaml.safe_dump(document))
    done = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "got:" in said, said
    got = said.partition("got:")[2]
    return [dict(_PAIR.findall(labels)) | {"value": value} for labels, value in _SAMPLE.findall(got)]


def _consumer(stream: str, consumer: str, service: str, filters: str) -> dict[str, str]:
    which = f'stream="{stream}",consumer="{consumer}"'
    return {
        f'nats_consumer_info{{{which},service="{service}",kind="pull",filter="{filters}",deliver_group=""}}': "1x40",
        f"nats_consumer_delivered_total{{{which}}}": "0+15x40",
    }


def _event(producer: str, subject: str) -> dict[str, str]:
    family = subject.partition(".")[0]
    labels = f'family="{family}",subject="{subject}",producer="{producer}",outcome="none"'
    return {f"fleet_events_total{{{labels}}}": "0+30x40"}


FLEET = {
    **_event("planning-service", "planning.story.created"),
    **_event("planning-service", "planning.plan.approved"),
    **_event("ray-executor", "agent.results.*"),
    **_event("ray-executor", "agent.response.completed"),
    **_event("context-service", "context.updated"),
    **_consumer("PLANNING_EVENTS", "context-planning-events", "context", "planning.story.created,planning.plan.approved"),
    **_consumer("PLANNING_EVENTS", "workflow-planning-events", "workflow", "planning.>"),
    **_consumer("AGENT_RESULTS", "deliberation-result-collector", "orchestrator", "agent.results.>"),
    **_consumer("AGENT_RESPONSES", "orchestrator-agent-responses", "orchestrator", "agent.response.*"),
    **_consumer("CONTEXT_EVENTS", "archive", "context", ""),
    **_consumer("CONTEXT_EVENTS", "planning-context-events", "planning", "context.milestone.reached"),
}


@pytest.fixture
def fleet_map(promtool: Path, tmp_path: Path) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Nodes by ID, and edges by their ends, with messages per second."""
    nodes = answers(promtool, tmp_path, topology.nodes(), FLEET)
    edges = answers(promtool, tmp_path, topology.edges(), FLEET)
    circles = {node["id"]: node["value"] for node in nodes}
    assert len(circles) == len(nodes)
    return circles, {(edge["source"], edge["target"]): edge["value"] for edge in edges}


def test_publishers_and_consumers_join_at_subjects_and_wildcards(
    fleet_map: tuple[dict[str, str], dict[tuple[str, str], str]],
) -> None:
    circles, arrows = fleet_map

    assert {end for ends in arrows for end in ends} <= circles.keys()
    assert arrows == {
        ("publisher planning-service", "subject planning.story.created"): "2E+00",
        ("publisher planning-service", "subject planning.plan.approved"): "2E+00",
        ("publisher ray-executor", "subject agent.results.*"): "2E+00",
        ("publisher ray-executor", "subject agent.response.completed"): "2E+00",
        ("publisher context-service", "subject context.updated"): "2E+00",
        ("subject planning.story.created", "subject planning.>"): "2E+00",
        ("subject planning.plan.approved", "subject planning.>"): "2E+00",
        ("subject agent.results.*", "subject agent.results.>"): "2E+00",
        ("subject agent.response.completed", "subject agent.response.*"): "2E+00",
        ("subject planning.story.created", "consumer context"): "1E+00",
        ("subject planning.plan.approved", "consumer context"): "1E+00",
        ("subject planning.>", "consumer workflow"): "1E+00",
        ("subject agent.results.>", "consumer orchestrator"): "1E+00",
        ("subject agent.response.*", "consumer orchestrator"): "1E+00",
        ("subject all of CONTEXT_EVENTS", "consumer context"): "1E+00",
        ("subject context.milestone.reached", "consumer planning"): "1E+00",
    }
    assert circles["publisher planning-service"] == "4E+00"


def test_a_topology_without_consumers_shows_publishers(promtool: Path, tmp_path: Path) -> None:
    given = _event("planning-service", "planning.story.created")

    assert {node["title"] for node in answers(promtool, tmp_path, topology.nodes(), given)} == {
        "planning-service", "planning.story.created",
    }  # fmt: skip


def _labels(**counted: int) -> dict[str, str]:
    return {f'neo4j_label_nodes{{database="neo4j",label="{label}"}}': f"{count}x40" for label, count in counted.items()}


def _pattern(start: str, kind: str, end: str, count: int) -> dict[str, str]:
    labels = f'database="neo4j",start="{start}",type="{kind}",end="{end}"'
    return {f"neo4j_pattern_relationships{{{labels}}}": f"{count}x40"}


def test_an_unlabeled_end_is_a_node_without_a_value(promtool: Path, tmp_path: Path) -> None:
    given = (
        _labels(Story=3, Task=7)
        | _pattern("Story", "HAS_TASK", "Task", 7)
        | _pattern("Story", "RELATES", "*", 2)
        | _pattern("*", "RELATES", "Task", 2)
        | _pattern("other", "other", "other", 5)
    )
    nodes = answers(promtool, tmp_path, knowledge_graph.nodes(), given)
    edges = answers(promtool, tmp_path, knowledge_graph.edges(), given)

    assert {node["id"]: node["value"] for node in nodes} == {"Story": "3E+00", "Task": "7E+00", "*": "NaN", "other": "NaN"}
    assert {(edge["source"], edge["secondarystat"], edge["target"]): edge["value"] for edge in edges} == {
        ("Story", "HAS_TASK", "Task"): "7E+00",
        ("Story", "RELATES", "*"): "2E+00",
        ("*", "RELATES", "Task"): "2E+00",
        ("other", "other", "other"): "5E+00",
    }


def test_a_graph_without_relationships_has_nodes_only(promtool: Path, tmp_path: Path) -> None:
    nodes = answers(promtool, tmp_path, knowledge_graph.nodes(), _labels(Story=3))

    assert nodes == [{"id": "Story", "title": "Story", "color": ACCENT, "value": "3E+00"}]


def test_a_node_without_a_count_is_gray(promtool: Path, tmp_path: Path) -> None:
    nodes = answers(promtool, tmp_path, knowledge_graph.nodes(), _labels(Story=3) | _pattern("Story", "RELATES", "*", 2))

    assert {node["id"]: node["color"] for node in nodes} == {"Story": ACCENT, "*": QUIET}


def test_a_consumer_with_redelivered_messages_is_amber(promtool: Path, tmp_path: Path) -> None:
    which = 'stream="PLANNING_EVENTS",consumer="context-planning-events"'
    given = FLEET | {f"nats_consumer_num_redelivered{{{which}}}": "3x40"}
    colors = {node["id"]: node["color"] for node in answers(promtool, tmp_path, topology.nodes(), given)}

    assert colors["consumer context"] == WARN
    assert colors["consumer workflow"] == OK
    assert colors["publisher planning-service"] == ACCENT
    assert colors["subject planning.>"] == QUIET


def test_the_main_stat_is_a_text_with_its_unit(promtool: Path, tmp_path: Path) -> None:
    """Grafana writes a number with two decimals and the ID of its unit: 281.00 short."""
    lines = [
        PrometheusTarget(raw("(x or y * NaN)", "id", "title")),
        PrometheusTarget(raw("x", "id", "source", "target")),
    ]
    given = {'x{id="a",title="T"}': "281x40", 'x{id="b",title="T"}': "2.0833x40", 'y{id="c",title="T"}': "1x40"}
    plain, rates = (node_graph("Map", "A map.", *lines, unit=unit) for unit in ("", "msg/s"))
    texts = [
        {one["id"]: one.get("mainstat", "") for one in answers(promtool, tmp_path, of_panel(panel, "nodes"), given)}
        for panel in (plain, rates)
    ]

    assert texts == [{"a": "281", "b": "2.08", "c": ""}, {"a": "281 msg/s", "b": "2.08 msg/s", "c": ""}]


def of_panel(panel: Panel, name: str) -> PrometheusTarget:
    """A query of a panel by its refId."""
    (text,) = [target.expr for target in panel.targets if target.refId == name]
    return PrometheusTarget(raw(text))
