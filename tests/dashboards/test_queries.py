"""Every query of every dashboard, run on the Prometheus and Loki of the demo: each has data, or a reason.

The overview shows each of the demo's faults.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts.dashboard_uid import DashboardUid
from dashboards.__main__ import all_dashboards
from dashboards.grafana.fields import BAD, WARN
from dashboards.inventory import Question, panels, questions
from demo.scenario.faults import Fault
from servers.process import ServerFailed, wait_for
from tests.dashboards import grafana_library
from tests.dashboards.expected_empty import WITHOUT_DATA
from tests.support.demo import RunningDemo

_WINDOWS = {"$__rate_interval": "30s", "$__interval": "15s", "$__range": "10m", "$__auto": "5m"}
Answers = dict[tuple[str, str], list[dict[str, Any]]]
_TIMEOUTS = 120
"""Seconds until the demo has sent, and Prometheus has scraped, all queried data."""

DOCUMENTS = [dashboard.document() for dashboard in all_dashboards()]
QUESTIONS = {(one.dashboard, one.where): one for document in DOCUMENTS for one in questions(document, _WINDOWS)}
PAGE = Path(__file__).parents[2] / "docs/dashboards.md"
OVERVIEW_FAULTS = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
"""Fault, panel and entry of each row of the page's table."""


class Asker:
    """Asks as Grafana does: an instant for figures and tables, the last minutes for graphs and logs."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._client = httpx.Client(trust_env=False, timeout=30)

    def close(self) -> None:
        self._client.close()

    def answers(self, question: Question, now: float | None = None) -> list[dict[str, Any]]:
        """The series or streams of the answer. Fails where the query is refused."""
        now = now or time.time()
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
def answers(demo_fleet: RunningDemo) -> Iterator[Answers]:
    """The result of each query, retried until it has data or the deadline passes; faults produce data for some queries."""
    found: Answers = {}
    with contextlib.closing(Asker({"prometheus": demo_fleet.prometheus, "loki": demo_fleet.loki})) as asker:

        def all_have_data() -> bool:
            for place, question in QUESTIONS.items():
                if place not in found or not (found[place] or place in WITHOUT_DATA):
                    found[place] = asker.answers(question)
            return {place for place, answer in found.items() if not answer} <= WITHOUT_DATA.keys()

        demo_fleet.do(f"break {' '.join(Fault)}")
        with contextlib.suppress(ServerFailed):
            wait_for(all_have_data, what="every query to have data", deadline=_TIMEOUTS)
        yield found
        demo_fleet.do(f"restore {' '.join(Fault)}")


def test_every_query_has_data_or_a_reason_why_not(answers: Answers) -> None:
    empty = [place for place, answer in answers.items() if not answer and place not in WITHOUT_DATA]

    assert not empty, "\n".join(f"{place}: {QUESTIONS[place].text}" for place in empty)


def test_every_reason_belongs_to_an_existing_query() -> None:
    assert WITHOUT_DATA.keys() - QUESTIONS.keys() == set()


def test_every_state_number_has_a_text(answers: Answers) -> None:
    """A number without a word would be shown as a bare number, in no color."""
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


def test_every_arrow_of_a_node_graph_ends_at_its_nodes(answers: Answers, demo_fleet: RunningDemo) -> None:
    """Nodes and edges at the same time, as Grafana queries them, because the graph grows."""
    drawn = [(document["uid"], panel["title"]) for document in DOCUMENTS for panel in panels(document)
             if panel["type"] == "nodeGraph"]  # fmt: skip
    assert drawn
    now = time.time()
    with contextlib.closing(Asker({"prometheus": demo_fleet.prometheus})) as asker:
        for uid, title in drawn:
            nodes, edges = (asker.answers(QUESTIONS[uid, f"{title} {part}"], now) for part in ("nodes", "edges"))
            ends = {series["metric"][end] for series in edges for end in ("source", "target")}

            assert ends
            assert ends <= {series["metric"]["id"] for series in nodes}


def test_the_page_has_a_row_for_each_fault() -> None:
    assert sorted(fault for fault, _, _ in OVERVIEW_FAULTS) == sorted(Fault)


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize(("title", "entry"), [row[1:] for row in OVERVIEW_FAULTS], ids=[row[0] for row in OVERVIEW_FAULTS])
def test_the_overview_shows_each_fault(demo_fleet: RunningDemo, title: str, entry: str) -> None:
    """By name in a table or a list of alerts; in the color of a warning, or worse, in a stat."""
    (document,) = [one for one in DOCUMENTS if one["uid"] == DashboardUid.OVERVIEW]
    (panel,) = [one for one in panels(document) if one["title"] == title]
    with contextlib.closing(Asker({"prometheus": demo_fleet.prometheus})) as asker:
        wait_for(lambda: entry in _attention(asker, panel), what=f"{title} to show {entry}", deadline=_TIMEOUTS)


def _attention(asker: Asker, panel: dict[str, Any]) -> set[str]:
    """What a panel of the overview draws attention to."""
    if panel["type"] == "alertlist":
        alerts = f"ALERTS{panel['options']['alertInstanceLabelFilter']}"
        found = asker.answers(Question(DashboardUid.OVERVIEW, panel["title"], "prometheus", alerts, instant=True))
        return {one["metric"]["alertname"] for one in found}
    asked = [QUESTIONS[DashboardUid.OVERVIEW, f"{panel['title']} {target['refId']}"] for target in panel["targets"]]
    found_by = {target["refId"]: asker.answers(one) for target, one in zip(panel["targets"], asked, strict=True)}
    (shown,) = grafana_library.shown((panel, grafana_library.frames(panel, found_by)))
    if panel["type"] == "table":
        return {text for frame in shown["frames"] for field in frame["fields"] for text in field["texts"]}
    colored = [one["name"] for one in shown["stats"] if one["color"] in (WARN, BAD)]
    return {*colored, panel["title"]} if colored else set()
