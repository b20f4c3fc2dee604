"""Totals that panels show, by a real Prometheus and Grafana's own library, against the events that were counted.

Each event has a time; the exporter's counters are scraped every 15 seconds and begin at 0 again when it restarts.
"""

from __future__ import annotations

import json
import random
import subprocess
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from dashboards.inventory import panels, questions
from exporter.metrics.metric import Metric
from exporter.sources.costs import samples as ledger
from exporter.sources.fleet import samples as fleet
from exporter.sources.rayjob import jobs
from servers import prometheus
from tests.dashboards import grafana_library
from tests.dashboards.test_linter import DOCUMENTS
from tests.support.servers import required

Document = dict[str, Any]
Events = dict[tuple[str, str], list[float]]
"""Times of events by the name of the counter and its labels, as in an exposition."""

SCRAPE: Final = 15
END: Final = 1_767_607_200
BEGIN: Final = END - 4 * 3600
RESTART: Final = END - 100 * 60 + 1
"""The exporter restarts after a scrape."""
RANGES: Final = {"5m": 300, "30m": 1800, "3h": 10_800}
WIDTHS: Final = (300, 1600)
"""Pixels of a panel: a point each, if the panel does not limit its points."""


def _labels(metric: Metric, **values: str) -> str:
    assert set(values) == set(metric.labels), metric.name
    return ",".join(f'{label}="{value}"' for label, value in values.items())


def _given() -> dict[tuple[str, str], float]:
    """Mean seconds between two events of each counter."""
    given: dict[tuple[str, str], float] = {}
    for role, often in (("DEV", 1.0), ("QA", 2.5)):
        for outcome, seconds in (("completed", 9.0), ("failed", 60.0), ("timeout", 200.0)):
            given[fleet.DELIBERATIONS.name, _labels(fleet.DELIBERATIONS, role=role, outcome=outcome)] = seconds * often
        for outcome, seconds in (("completed", 4.0), ("failed", 40.0), ("needs_human", 100.0)):
            given[fleet.RESPONSES.name, _labels(fleet.RESPONSES, role=role, outcome=outcome)] = seconds * often
    moves = fleet.STORIES.moves
    for before, after, seconds in (("BACKLOG", "DRAFT", 20.0), ("DRAFT", "BUILD", 21.0), ("BUILD", "DONE", 23.0)):
        given[moves.name, _labels(moves, from_stage=before, to_stage=after)] = seconds
    for outcome, seconds in (("succeeded", 30.0), ("failed", 250.0)):
        labels = {label: {"outcome": outcome}.get(label, "one") for label in jobs.DURATION.labels}
        given[f"{jobs.DURATION.name}_count", _labels(jobs.DURATION, **labels)] = seconds
    for status, seconds in (("success", 6.0), ("error", 70.0)):
        labels = {label: {"status": status}.get(label, "one") for label in ledger.INVOCATIONS.labels}
        given[ledger.INVOCATIONS.name, _labels(ledger.INVOCATIONS, **labels)] = seconds
    return given


def _events() -> Events:
    chance = random.Random(16)
    return {
        key: list(accumulate((chance.expovariate(1 / seconds) for _ in range(int(14_400 / seconds) + 200)), initial=BEGIN))[
            1:
        ]
        for key, seconds in _given().items()
    }


EVENTS: Final = _events()


def happened(name: str, window: float, *parts: str) -> int:
    """How many events of a counter there were in the last `window` seconds, with labels that have these parts."""
    times = [
        found for (counter, labels), found in EVENTS.items() if counter == name and all(part in labels for part in parts)
    ]
    assert times, (name, parts)
    return sum(bisect_right(one, END) - bisect_right(one, END - window) for one in times)


def _exposition() -> Iterator[str]:
    for name in dict.fromkeys(name for name, _ in EVENTS):
        if name.endswith("_total"):
            yield f"# TYPE {name.removesuffix('_total')} counter"
        for (counter, labels), times in EVENTS.items():
            if counter == name:
                for at in range(BEGIN, END + 1, SCRAPE):
                    before = bisect_right(times, RESTART) if at > RESTART else 0
                    value = bisect_right(times, at) - before
                    yield f'{name}{{job="fleet-exporter",instance="one:9847",{labels}}} {value} {at}'
    yield "# EOF"


@pytest.fixture(scope="module")
def client(promtool: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus with four hours of the counters."""
    with holding(_exposition(), promtool, tmp_path_factory.mktemp("totals")) as asking:
        yield asking


@contextmanager
def holding(lines: Iterable[str], promtool: Path, folder: Path) -> Iterator[httpx.Client]:
    """A Prometheus with the samples of OpenMetrics lines."""
    text = folder / "counters.txt"
    text.write_text("\n".join(lines) + "\n")
    subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", text, folder / "data"], check=True)
    with required():
        grafana_library.prepare()
        with (
            prometheus.start(
                config="global: {}\n", data=folder / "data", args=["--storage.tsdb.retention.time=100y"]
            ) as server,
            httpx.Client(base_url=server.url, trust_env=False, timeout=60) as asking,
        ):
            yield asking


def _windows(seconds: int, width: int, panel: Mapping[str, Any]) -> tuple[int, dict[str, str]]:
    """The step of a panel's graph, and Grafana's variables."""
    least = {"1m": 60, "1d": 86_400}.get(panel.get("interval", ""), SCRAPE)
    points = panel.get("maxDataPoints") or width
    step = max(least, -(-seconds // points // SCRAPE) * SCRAPE)
    rate = max(step + SCRAPE, 4 * SCRAPE)
    return step, {"$__range": f"{seconds}s", "$__interval": f"{step}s", "$__rate_interval": f"{rate}s", "$__auto": "60s"}


def shown(client: httpx.Client, dashboard: str, title: str, seconds: int, width: int) -> Document:
    """What a panel shows at the end, for a range of this many seconds, in a panel of this many pixels."""
    document = DOCUMENTS[dashboard]
    (panel,) = [one for one in panels(document) if one["title"] == title]
    step, windows = _windows(seconds, width, panel)
    answers: dict[str, list[Document]] = {}
    for question in questions(document, windows):
        name = question.where.removeprefix(f"{title} ")
        if question.where != f"{title} {name}" or name not in {target["refId"] for target in panel["targets"]}:
            continue
        asked: dict[str, str | float] = {"query": question.text}
        asked |= {"time": END} if question.instant else {"start": END - seconds, "end": END, "step": step}
        path = "/api/v1/query" if question.instant else "/api/v1/query_range"
        answers[name] = client.post(path, data=asked).raise_for_status().json()["data"]["result"]
    (result,) = grafana_library.shown((panel, grafana_library.frames(panel, answers)))
    return result


def number(text: str) -> float:
    return float(text.replace(",", "").removeprefix("$").removesuffix("%"))


def near(truth: float) -> Any:
    """Prometheus extrapolates to the ends of a window: off by the events of less than a scrape interval at each end."""
    return pytest.approx(truth, rel=0.06, abs=2)


every_range = pytest.mark.parametrize("seconds", RANGES.values(), ids=RANGES)
every_width = pytest.mark.parametrize("width", WIDTHS)


@every_range
@every_width
def test_totals_of_deliberations_are_those_of_their_events(client: httpx.Client, seconds: int, width: int) -> None:
    stats = shown(client, "fleet-agents", "Finished, total", seconds, width)["stats"]

    assert {one["name"]: number(one["text"]) for one in stats} == {
        outcome: near(happened(fleet.DELIBERATIONS.name, seconds, f'outcome="{outcome}"'))
        for outcome in ("completed", "failed", "timeout")
    }


@every_range
@every_width
def test_bars_add_up_to_the_total(client: httpx.Client, seconds: int, width: int) -> None:
    frames = shown(client, "fleet-agents", "Finished", seconds, width)["frames"]
    added = {frame["fields"][1]["name"]: sum(frame["fields"][1]["values"][1:]) for frame in frames}

    truth = happened(fleet.DELIBERATIONS.name, seconds, 'outcome="completed"')
    assert added["completed"] == pytest.approx(truth, rel=0.12)


@every_range
@pytest.mark.parametrize(
    ("dashboard", "title", "name", "part"),
    [
        ("fleet-stories", "Done", fleet.STORIES.moves.name, 'to_stage="DONE"'),
        ("fleet-ray-jobs", "Completed", f"{jobs.DURATION.name}_count", 'outcome="succeeded"'),
        ("fleet-ray-jobs", "Failed", f"{jobs.DURATION.name}_count", 'outcome="failed"'),
    ],
)
def test_a_total_is_the_number_of_events(
    client: httpx.Client, dashboard: str, title: str, name: str, part: str, seconds: int
) -> None:
    (stat,) = shown(client, dashboard, title, seconds, WIDTHS[0])["stats"]

    assert number(stat["text"]) == near(happened(name, seconds, part))


def rows(result: Document) -> list[dict[str, str]]:
    """The rows of a table, by the titles of its columns."""
    (frame,) = result["frames"]
    names = [field["name"] for field in frame["fields"]]
    return [dict(zip(names, row, strict=True)) for row in zip(*(field["texts"] for field in frame["fields"]), strict=True)]


@every_range
def test_a_table_has_the_totals_of_its_rows(client: httpx.Client, seconds: int) -> None:
    (row,) = rows(shown(client, "fleet-board-costs", "By agent and model", seconds, WIDTHS[0]))

    calls, errors = (happened(ledger.INVOCATIONS.name, seconds, *parts) for parts in ([], ['status="error"']))
    assert number(row["invocations"]) == near(calls)
    assert number(row["failed"]) / 100 == pytest.approx(errors / calls, abs=0.03)


@every_width
def test_a_current_share_is_the_same_at_every_range_on_every_dashboard(client: httpx.Client, width: int) -> None:
    texts = {
        shown(client, dashboard, "Failures", seconds, width)["stats"][0]["text"]
        for dashboard, seconds in (("fleet-overview", 300), ("fleet-overview", 10_800), ("fleet-agents", 1800))
    }
    failed, completed = (happened(fleet.RESPONSES.name, 3600, f'outcome="{outcome}"') for outcome in ("failed", "completed"))

    (text,) = texts
    assert number(text) / 100 == pytest.approx(failed / (failed + completed), rel=0.06)


def test_current_values_ask_the_same_at_every_range_and_width() -> None:
    asked: dict[tuple[str, str], set[str]] = {}
    for name, document in DOCUMENTS.items():
        stats = {panel["title"]: panel for panel in panels(document) if panel["type"] in ("stat", "bargauge", "table")}
        for panel in stats.values():
            for seconds in RANGES.values():
                for width in WIDTHS:
                    _, windows = _windows(seconds, width, panel)
                    del windows["$__range"]
                    text = json.dumps([target["expr"] for target in panel["targets"]])
                    for variable, value in windows.items():
                        text = text.replace(variable, value)
                    asked.setdefault((name, panel["title"]), set()).add(text)

    assert len(asked) > 100
    assert {place for place, texts in asked.items() if len(texts) > 1} == set()
