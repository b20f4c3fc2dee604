"""Every query of docs/promql.md, asked of the demo's Prometheus: each has an answer, and counts nothing twice."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.process import wait_for
from tests.support.demo import RunningDemo

PAGE = Path(__file__).parents[2] / "docs/promql.md"
WITHOUT_DATA = {"How busy are the GPUs?": "the demo has no GPU, so no dcgm-exporter"}
_QUESTION = re.compile(
    r"^\*\*(?P<question>[^*]+\?)\*\*(?:(?!```|\*\*).)*```promql\n(?P<query>.*?)^```$", re.MULTILINE | re.DOTALL
)
_DEADLINE = 240.0
"""Seconds until the demo has produced all queried data, such as a story."""

QUESTIONS = {found["question"]: found["query"] for found in _QUESTION.finditer(PAGE.read_text())}


@pytest.fixture(scope="module")
def client(demo_fleet: RunningDemo) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo_fleet.prometheus, trust_env=False, timeout=30) as asking:
        yield asking


def asked(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The series whose value is a number. Fails where the query is refused."""
    answer = client.get("/api/v1/query", params={"query": query})
    assert answer.status_code == httpx.codes.OK, f"{query}: {answer.text[:500]}"
    return [series for series in answer.json()["data"]["result"] if not math.isnan(float(series["value"][1]))]


def test_the_page_has_thirty_questions_and_each_its_query() -> None:
    assert len(QUESTIONS) >= 30
    assert len(QUESTIONS) == PAGE.read_text().count("```promql")
    assert WITHOUT_DATA.keys() <= QUESTIONS.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_an_answer(client: httpx.Client, question: str) -> None:
    query = QUESTIONS[question]
    if question in WITHOUT_DATA:
        assert asked(client, query) == []
        return
    wait_for(lambda: bool(asked(client, query)), what=f"an answer to {query!r}", deadline=_DEADLINE)


def test_no_agent_is_counted_twice(client: httpx.Client) -> None:
    [fleet] = asked(client, QUESTIONS["How many agents has the fleet?"])
    [every] = asked(client, "sum(fleet_agents)")
    names = {series["metric"]["agent"] for series in asked(client, "group by (agent) (fleet_agent_state)")}
    [once] = asked(client, QUESTIONS["How many agents are there in the fleet and the broker, each counted once?"])
    brokers = {series["metric"]["agent"] for series in asked(client, "group by (agent) (fleet_broker_agent_info)")}

    assert float(fleet["value"][1]) == len(names)
    assert float(once["value"][1]) == len(names | brokers)
    assert float(every["value"][1]) > len(names | brokers)


def test_the_models_of_ledger_and_vllm_are_matched(client: httpx.Client) -> None:
    found = asked(client, QUESTIONS["What does a million generated tokens of vLLM cost, by the ledger?"])

    assert {series["metric"]["model"] for series in found} == {"Qwen3-0.6B"}
