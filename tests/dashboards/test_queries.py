"""Every query of every dashboard, asked of the Prometheus and the Loki of the running demo: each has data, or a reason."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from dashboards.__main__ import all_dashboards
from dashboards.asked import Question, panels, questions
from tests.dashboards.without_data import WITHOUT_DATA

_WINDOWS = {"$__rate_interval": "30s", "$__interval": "15s", "$__range": "10m", "$__auto": "5m"}
_PATIENCE = 120
"""Seconds for the demo to have sent, and Prometheus to have seen, everything that is asked for."""

DOCUMENTS = [dashboard.document() for dashboard in all_dashboards()]
QUESTIONS = {(one.dashboard, one.where): one for document in DOCUMENTS for one in questions(document, _WINDOWS)}


class Asker:
    """Asks as Grafana does: an instant for figures and tables, the last minutes for graphs and logs."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._client = httpx.Client(trust_env=False, timeout=30)

    def answers(self, question: Question) -> list[dict[str, Any]]:
        """The series or streams of the answer. Fails where the query is refused."""
        now = time.time()
        path = "/api/v1/" if question.kind == "prometheus" else "/loki/api/v1/"
        url = self._urls[question.kind] + path + ("query" if question.instant else "query_range")
        asked: dict[str, str | float] = {"query": question.text}
        asked |= {"time": now} if question.instant else {"start": now - 600, "end": now, "step": 15}
        answer = self._client.get(url, params=asked)
        assert answer.status_code == httpx.codes.OK, f"{question.where} asks {question.text}: {answer.text[:500]}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return [one for one in found if question.kind == "loki" or any(map(_is_number, _values(one)))]


def _values(series: Mapping[str, Any]) -> Iterator[float]:
    for _, value in series.get("values") or [series["value"]]:
        yield float(value)


def _is_number(value: float) -> bool:
    return not math.isnan(value)


@pytest.fixture(scope="module")
def answers(demo_fleet: Any) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What each query was answered, asked again until it has data or patience ends."""
    asker = Asker({"prometheus": demo_fleet.prometheus, "loki": demo_fleet.loki})
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    until = time.monotonic() + _PATIENCE
    while True:
        for place, question in QUESTIONS.items():
            if not found.get(place):
                found[place] = asker.answers(question)
        empty = {place for place, answer in found.items() if not answer}
        if empty <= WITHOUT_DATA.keys() or time.monotonic() > until:
            return found


def test_every_query_has_data_or_a_reason_why_not(answers: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    assert {place for place, answer in answers.items() if not answer} - WITHOUT_DATA.keys() == set()


def test_reasons_are_given_for_queries_that_there_are() -> None:
    assert WITHOUT_DATA.keys() - QUESTIONS.keys() == set()


def test_every_state_that_is_coded_has_its_word(answers: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """A number without a word would be shown as a bare number, in no colour."""
    for document in DOCUMENTS:
        for panel in panels(document):
            if panel["type"] != "state-timeline":
                continue
            worded = {float(value) for value in _words(panel["fieldConfig"]["defaults"]["mappings"])}
            for target in panel["targets"]:
                for series in answers[document["uid"], f"{panel['title']} {target['refId']}"]:
                    assert set(_values(series)) <= worded, panel["title"]


def _words(mappings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for mapping in mappings:
        if mapping["type"] == "value":
            yield from mapping["options"]


def test_every_arrow_of_a_node_graph_ends_at_its_nodes(answers: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    drawn = [(document["uid"], panel["title"]) for document in DOCUMENTS for panel in panels(document)
             if panel["type"] == "nodeGraph"]  # fmt: skip
    assert drawn
    for uid, title in drawn:
        nodes = {series["metric"]["id"] for series in answers[uid, f"{title} nodes"]}
        ends = {series["metric"][end] for series in answers[uid, f"{title} edges"] for end in ("source", "target")}

        assert ends <= nodes
