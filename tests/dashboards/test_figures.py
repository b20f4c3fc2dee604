"""Figures at the head of a page, evaluated by promtool: nothing that failed is 0, and nothing at all is no data."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards import vllm
from dashboards.grafana.queries import PrometheusTarget
from dashboards.rows import error_budgets
from tests.dashboards.test_node_graphs import answers

_AT = 'server="s",model="m",engine="0"'
ANSWERS = 'fleet_agent_responses_total{role="DEV",outcome='
REQUESTS = f"vllm_requests_finished_total{{{_AT},finished_reason="
FIGURES = {
    "answers": (PrometheusTarget(error_budgets.FAILING), f'{ANSWERS}"failed"}}', f'{ANSWERS}"completed"}}'),
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


def test_the_budget_is_a_round_number() -> None:
    (panel, *_) = error_budgets.ROW.panels
    assert all(target.expr.endswith("/ 0.05") for target in panel.targets)
