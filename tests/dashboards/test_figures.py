"""Stat panels, evaluated by promtool: no failures are 0, and no events are no data."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.rules import RECORDINGS
from dashboards import vllm
from dashboards.grafana.queries import PrometheusTarget, raw
from dashboards.inventory import panels
from dashboards.rows import error_budgets
from exporter.sources.fleet import samples as fleet
from tests.dashboards.test_linter import DOCUMENTS
from tests.dashboards.test_node_graphs import answers

_AT = 'server="s",model="m",engine="0"'
RESPONSES = 'fleet_agent_responses_total{role="DEV",outcome='
REQUESTS = f"vllm_requests_finished_total{{{_AT},finished_reason="
FIGURES = {
    "responses": (PrometheusTarget(error_budgets.FAILING), f'{RESPONSES}"failed"}}', f'{RESPONSES}"completed"}}'),
    "requests": (vllm.FAILING, f'{REQUESTS}"error"}}', f'{REQUESTS}"stop"}}'),
}


@pytest.mark.parametrize("what", FIGURES)
def test_a_share_of_failures(promtool: Path, tmp_path: Path, what: str) -> None:
    line, failed, succeeded = FIGURES[what]
    some = answers(promtool, tmp_path, line, {failed: "0+1x40", succeeded: "0+3x40"})
    never = answers(promtool, tmp_path, line, {succeeded: "0+3x40"})
    idle = answers(promtool, tmp_path, line, {failed: "5x40", succeeded: "7x40"})

    assert [float(one["value"]) for one in some] == [0.25]
    assert [float(one["value"]) for one in never] == [0]
    assert idle == []


def _failure_shares() -> dict[str, str]:
    """Each query of a dashboard and of a recording rule that relates failed responses to all responses, by where it is."""
    asked = {rule.name: rule.query.text for rule in RECORDINGS}
    for name, document in DOCUMENTS.items():
        for panel in panels(document):
            asked |= {f"{name}: {panel['title']} {one['refId']}": one["expr"] for one in panel.get("targets", ())}
    return {where: text for where, text in asked.items() if " / " in text and fleet.RESPONSES.name in text}


@pytest.mark.parametrize("where", [where for where in _failure_shares() if "without-loki" not in where])
def test_failed_responses_have_one_definition(promtool: Path, tmp_path: Path, where: str) -> None:
    given = {
        f'{RESPONSES}"failed"}}': "0+1x40",
        f'{RESPONSES}"completed"}}': "0+3x40",
        f'{RESPONSES}"needs_human"}}': "0+4x40",
        f'{fleet.AGENT_SINCE.name}{{role="DEV",agent="dev-1"}}': "1x40",
    }
    text = _failure_shares()[where]
    found = answers(promtool, tmp_path, PrometheusTarget(raw(text.removesuffix(" / 0.05"))), given)

    assert [float(one["value"]) for one in found] == [0.25]


def test_failed_responses_are_on_several_dashboards() -> None:
    assert len({where.partition(":")[0] for where in _failure_shares()} & set(DOCUMENTS)) >= 2


def test_the_budget_is_a_round_number() -> None:
    (panel, *_) = error_budgets.ROW.panels
    assert all(target.expr.endswith("/ 0.05") for target in panel.targets)
