"""What log panels and the timeline of stories show, by a real Loki, against the events that it was sent."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from dashboards.inventory import panels
from exporter.events.model import Message
from exporter.fleet.stages import STORY_STAGES
from exporter.sources.loki.entries import LineStyle, LokiPosition, entry, label_limiter, push_body
from servers import loki as loki_servers
from servers.process import wait_for
from tests.dashboards import grafana_library
from tests.dashboards.test_linter import DOCUMENTS
from tests.dashboards.test_totals import RANGES, every_range
from tests.support.servers import required

END: Final = int(time.time()) // 60 * 60 - 60
HOURS: Final = 7
MOST_LINES: Final = 1000
"""Grafana's limit of lines of a query."""


@dataclass(frozen=True)
class Published:
    """An event as it was published."""

    at: float
    subject: str
    body: Mapping[str, Any]
    sequence: int

    @property
    def text(self) -> str:
        return json.dumps(self.body)


def _published() -> list[Published]:
    """Events of stories, agents and tasks; each kind has a long text, and its end is on no line of a panel."""
    chance = random.Random(16)
    found: list[Published] = []
    stages: dict[str, int] = {}
    at = END - HOURS * 3600.0
    while (at := at + chance.expovariate(1 / 45)) < END - 1:
        story = f"US-{chance.randrange(6)}-{int(at - END + HOURS * 3600) // 3600}"
        role = chance.choice(("DEV", "QA"))
        answer = {"task_id": f"T-{len(found)}", "agent_id": f"agent-{role.lower()}-001", "role": role, "story_id": story}
        end = chance.choice(("disk full (sda1)", "out of memory", "done"))
        if chance.random() < 0.4 and stages.get(story, 0) < len(STORY_STAGES) - 1:
            before = stages.get(story, 0)
            stages[story] = before + 1
            moved = {"story_id": story, "from_state": STORY_STAGES[before], "to_state": STORY_STAGES[before + 1]}
            found.append(Published(at, "planning.story.transitioned", moved, len(found) + 1))
        else:
            body = answer | {"status": "completed", "duration_ms": 2300, "note": "x" * 600 + end}
            found.append(Published(at, "agent.response.completed", body, len(found) + 1))
    return found


EVENTS: Final = _published()


def _push(client: httpx.Client) -> None:
    style = LineStyle(frozenset(), 16_000, 65_536)
    admitted = label_limiter()
    messages = [Message(one.subject, one.text.encode(), one.at, "FLEET", one.sequence) for one in EVENTS]
    body = push_body(entry(one, LokiPosition(), style, admitted) for one in messages)
    client.post("/loki/api/v1/push", content=body, headers={"content-type": "application/json"}).raise_for_status()


@pytest.fixture(scope="module")
def loki() -> Iterator[httpx.Client]:
    """A Loki with seven hours of events."""
    with required():
        loki_servers.prepare()
        grafana_library.prepare()
    with loki_servers.start() as server, httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        wait_for(server.answers_queries, what="Loki to answer queries", deadline=60)
        _push(client)
        yield client


def _filled(text: str, document: Mapping[str, Any], given: dict[str, str]) -> str:
    """A query as Grafana sends it: variables as they are when the dashboard opens, or as given."""
    first = {one["name"]: one.get("allValue") or one.get("query", "") for one in document["templating"]["list"]} | given

    def value(found: re.Match[str]) -> str:
        chosen = str(first[found["braced"] or found["plain"]])
        return re.escape(chosen) if found["format"] == "regex" else chosen

    return re.sub(r"\$(?:\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|(?P<plain>[A-Za-z_]\w*))", value, text)


def _asked(
    client: httpx.Client, dashboard: str, title: str, seconds: int, given: dict[str, str], step: int = 1
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A panel, and Loki's answer to its query."""
    document = DOCUMENTS[dashboard]
    (panel,) = [one for one in panels(document) if one["title"] == title]
    (target,) = panel["targets"]
    query = _filled(target["expr"].replace("$__range", f"{seconds}s"), document, given)
    asked: dict[str, str | int] = {"query": query, "start": END - seconds, "end": END, "limit": MOST_LINES, "step": step}
    found: list[dict[str, Any]] = (
        client.get("/loki/api/v1/query_range", params=asked).raise_for_status().json()["data"]["result"]
    )
    return panel, found


def lines(client: httpx.Client, dashboard: str, title: str, seconds: int, **given: str) -> dict[int, str]:
    """The lines of a log panel, by the sequence of their event."""
    _, found = _asked(client, dashboard, title, seconds, given)
    return {int(one["stream"]["sequence"]): line for one in found for _, line in one["values"]}


def sequences(seconds: int, wanted: Callable[[Published], bool] = bool) -> set[int]:
    return {one.sequence for one in EVENTS if END - seconds <= one.at < END and wanted(one)}


@every_range
def test_the_latest_events_are_all_events(loki: httpx.Client, seconds: int) -> None:
    shown = lines(loki, "fleet-events", "Latest events", seconds)

    assert shown.keys() == sequences(seconds)
    assert len(sequences(seconds)) < MOST_LINES
    for one in EVENTS:
        if one.sequence in shown:
            assert one.body["story_id"] in shown[one.sequence]


@every_range
@pytest.mark.parametrize("text", ["disk full (sda1)", "OUT OF MEMORY"])
def test_a_search_finds_what_its_line_does_not_show(loki: httpx.Client, text: str, seconds: int) -> None:
    shown = lines(loki, "fleet-events", "Latest events", seconds, text=text)

    assert shown.keys() == sequences(seconds, lambda one: text.lower() in one.text.lower())
    assert sequences(max(RANGES.values()), lambda one: text.lower() in one.text.lower())
    assert not any(text.lower() in line.lower() for line in shown.values())


@every_range
def test_events_of_a_story_and_of_an_agent(loki: httpx.Client, seconds: int) -> None:
    story = EVENTS[-1].body["story_id"]

    assert lines(loki, "fleet-stories", "Story events", seconds, story=story).keys() == sequences(
        seconds, lambda one: one.body["story_id"] == story
    )
    assert lines(loki, "fleet-agents", "Agent events", seconds, agent="agent-qa-001").keys() == sequences(
        seconds, lambda one: one.body.get("agent_id") == "agent-qa-001"
    )


@every_range
def test_the_timeline_ends_with_the_stage_of_each_story(loki: httpx.Client, seconds: int) -> None:
    step = max(-(-seconds // 150), 1)
    panel, found = _asked(loki, "fleet-stories", "Stages by story", seconds, {}, step)
    frames = [
        {
            "refId": "A",
            "fields": [
                {"name": "Time", "type": "time", "values": [float(at) * 1000 for at, _ in one["values"]]},
                {"name": "Value", "type": "number", "values": [float(value) for _, value in one["values"]],
                 "labels": one["metric"], "config": {"displayNameFromDS": one["metric"]["story"]}},
            ],
        }
        for one in found
    ]  # fmt: skip
    (result,) = grafana_library.shown((panel, frames))
    shown = {frame["fields"][1]["name"]: frame["fields"][1]["texts"][-1] for frame in result["frames"]}
    last: dict[str, str] = {}
    for one in EVENTS:
        if one.at > END - seconds and "to_state" in one.body:
            last[one.body["story_id"]] = one.body["to_state"]

    assert last.items() <= shown.items()
    assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"], "it lasts until the next move"
