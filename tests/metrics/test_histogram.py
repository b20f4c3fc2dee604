"""Single observations and merged histograms give the same result."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.exposition import Format, grouped, rendered
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Unit, histogram, labels

BOUNDS = (0.1, 1.0, 10.0)
TIMES = histogram("demo_time_seconds", "Times.", unit=Unit.SECONDS)

values = st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100, allow_nan=False)))


@given(first=values, then=values)
def test_merged_observations_equal_direct_ones(first: list[float], then: list[float]) -> None:
    one_by_one, added_up = Histogram(BOUNDS), Histogram(BOUNDS)
    for some in (first, then):
        added_up.add_cumulative([sum(value <= bound for value in some) for bound in (*BOUNDS, math.inf)], sum(some))
        for value in some:
            one_by_one.observe(value)

    assert added_up.cumulative() == one_by_one.cumulative()
    assert math.isclose(added_up.total, one_by_one.total, abs_tol=1e-9)
    assert added_up.count == len(first) + len(then)


def test_its_sample_has_its_exemplars() -> None:
    distribution = Histogram(BOUNDS)
    distribution.observe_with(0.5, 1000.0, task_id="T", story_id=None)
    distribution.observe_with(0.7, 1000.5, task_id="too soon after the last")

    sample = distribution.sample(TIMES, labels())
    lines = rendered(grouped([sample]), Format.OPENMETRICS).decode().splitlines()[3:-1]
    assert lines[:2] == [
        'demo_time_seconds_bucket{le="0.1"} 0.0',
        'demo_time_seconds_bucket{le="1.0"} 2.0 # {task_id="T"} 0.5 1000.000',
    ]
    assert lines[-2:] == ["demo_time_seconds_sum 1.2", "demo_time_seconds_count 2.0"]
    assert "task_id" not in rendered(grouped([sample]), Format.TEXT).decode()

    distribution.clear()
    assert distribution.count == distribution.total == 0
    assert distribution.exemplars == [None] * 4
