"""The essential profile: which series its selectors keep."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.essential import text
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Sample, Unit, counter, gauge, histogram, labels, state_set
from exporter.metrics.profile import Selection
from tests.support.pages import series

STATE = state_set("toy_state", "State of it.", "toy", states=("on", "off", "lost"))
DEPTH = gauge("toy_depth", "Depth of it.", "toy")
CALLS = counter("toy_calls_total", "Calls of it.", "toy", "outcome")
CALL = 'toy_calls_total{toy="a",outcome="%s"}'
TIMES = histogram("toy_time_seconds", "Times.", "toy", unit=Unit.SECONDS)


def _samples() -> list[Sample]:
    times = Histogram((1.0, 2.0))
    times.observe_with(1.5, 10.0, task_id="T")
    return [
        STATE.state("on", toy="a"),
        STATE.state("off", toy="b"),
        DEPTH(1, toy="a"),
        CALLS(2, toy="a", outcome="failed"),
        CALLS(3, toy="a", outcome="completed"),
        times.sample(TIMES, labels(toy="a")),
    ]


@pytest.mark.parametrize(
    ("selectors", "kept"),
    [
        ((), set()),
        (("toy_depth",), {'toy_depth{toy="a"}'}),
        (('toy_depth{toy="b"}',), set()),
        (('toy_state{state="lost"}',), {'toy_state{toy="a",state="lost"}', 'toy_state{toy="b",state="lost"}'}),
        (('toy_state{toy="a", state=~"on|l.st"}',), {'toy_state{toy="a",state="on"}', 'toy_state{toy="a",state="lost"}'}),
        (('toy_state{state!~"on|lost"}', 'toy_depth{toy!="a"}'), {f'toy_state{{toy="{toy}",state="off"}}' for toy in "ab"}),
        (('toy_calls_total{outcome="failed"}',), {'toy_calls_total{toy="a",outcome="failed"}'}),
        (('toy_calls_total{other=""}', "toy_calls_total"), {CALL % "failed", CALL % "completed"}),
    ],
)  # fmt: skip
def test_a_series_is_kept_if_a_selector_fits(selectors: tuple[str, ...], kept: set[str]) -> None:
    assert set(series(Selection(selectors).kept(_samples()))) == kept


@pytest.mark.parametrize("selector", ["toy_time_seconds_count", 'toy_time_seconds_bucket{le="1", toy="a"}'])
def test_a_histogram_is_kept_as_a_whole(selector: str) -> None:
    page = rendered(grouped(Selection([selector]).kept(_samples())), ExpositionFormat.OPENMETRICS).decode()

    assert len([line for line in page.splitlines() if line.startswith("toy_time_seconds_")]) == 5
    assert 'task_id="T"' in page


def test_an_invalid_selector_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a PromQL selector"):
        Selection(["rate(toy_depth[5m])"])


@given(value=st.text(min_size=1).filter(lambda text: text.isprintable()), other=st.text(min_size=1))
def test_escaped_values_are_compared_as_they_are(value: str, other: str) -> None:
    pattern = re.escape(value).replace("\\", "\\\\").replace('"', '\\"')
    kept = list(Selection([f'toy_depth{{toy=~"{pattern}"}}']).kept([DEPTH(1, toy=value), DEPTH(1, toy=other)]))

    assert kept == [DEPTH(1, toy=value)] * (1 + (value == other))


def test_the_committed_selectors_are_up_to_date() -> None:
    assert resources.files("exporter").joinpath("essential.txt").read_text(encoding="utf-8") == text()
