"""Buckets, sums, and exemplars of observations."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import Unit, histogram, labels

BOUNDS = (0.1, 1.0, 10.0)
TIMES = histogram("demo_time_seconds", "Times.", unit=Unit.SECONDS)

values = st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100, allow_nan=False)))


@given(some=values)
def test_buckets_are_cumulative_counts_of_the_observations(some: list[float]) -> None:
    distribution = Histogram(BOUNDS)
    for value in some:
        distribution.observe(value)

    assert distribution.cumulative() == [(bound, sum(value <= bound for value in some)) for bound in (*BOUNDS, math.inf)]
    assert math.isclose(distribution.total, sum(some), abs_tol=1e-9)
    assert distribution.count == len(some)


def test_its_sample_has_its_exemplars() -> None:
    distribution = Histogram(BOUNDS)
    distribution.observe_with(0.5, 1000.0, task_id="T", story_id=None)
    distribution.observe_with(0.7, 1000.5, task_id="too soon after the last")

    sample = distribution.sample(TIMES, labels())
    lines = rendered(grouped([sample]), ExpositionFormat.OPENMETRICS).decode().splitlines()[3:-1]
    assert lines[:2] == [
        'demo_time_seconds_bucket{le="0.1"} 0.0',
        'demo_time_seconds_bucket{le="1.0"} 2.0 # {task_id="T"} 0.5 1000.000',
    ]
    assert lines[-2:] == ["demo_time_seconds_sum 1.2", "demo_time_seconds_count 2.0"]
    assert "task_id" not in rendered(grouped([sample]), ExpositionFormat.TEXT).decode()

    distribution.clear()
    assert distribution.count == distribution.total == 0
    assert distribution.exemplars == [None] * 4
