"""Invalid metrics and samples, and the exact text of valid samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import Unit, counter, gauge, histogram, info, labels, state_set

REQUESTS = counter("demo_requests_total", "Requests seen.", "path", "code")
DEPTH = gauge("demo_depth", "Depth of it.", "queue")
PLAIN = gauge("demo_plain", "Without labels.")
STATE = state_set("demo_state", "State of it.", "thing", states=("on", "off"))
TIMES = histogram("demo_time_seconds", "Times.", "path", unit=Unit.SECONDS)


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (lambda: gauge("Demo", "Help."), "expected a metric name"),
        (lambda: gauge("demo__x", "Help."), "expected a metric name"),
        (lambda: gauge("demo:x", "Help."), "expected a metric name"),
        (lambda: counter("demo_requests", "Help."), "expected the suffix _total"),
        (lambda: gauge("demo_total", "Help."), "expected the suffix _total"),
        (lambda: gauge("demo_size", "Help.", unit=Unit.BYTES), "ends with its unit bytes"),
        (lambda: gauge("demo_size_bytes", "Help."), "expected the unit bytes"),
        (lambda: gauge("demo_time_ms", "Help."), "expected a base unit"),
        (lambda: gauge("demo_x", "Help.", "le"), "expected a valid label"),
        (lambda: gauge("demo_x", "Help.", "Queue"), "expected a valid label"),
        (lambda: gauge("demo_x", "Help.", "a", "a"), "expected distinct labels"),
        (lambda: gauge("demo_x", "help without a capital."), "expected help"),
        (lambda: gauge("demo_x", "No full stop"), "expected help"),
        (lambda: info("demo_x", "Help."), "_info"),
    ],
)
def test_an_invalid_declaration_is_rejected(declare: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        declare()


@pytest.mark.parametrize("wrong", [{}, {"path": "/"}, {"path": "/", "code": "1", "x": "2"}, {"path": "/", "cod": "1"}])
def test_a_sample_with_other_labels_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="demo_requests_total: expected the labels"):
        REQUESTS(1, **wrong)


def test_a_shared_label_set_of_another_metric_is_refused() -> None:
    with pytest.raises(TypeError):
        REQUESTS.at(labels(queue="x"), 1)
    with pytest.raises(TypeError):
        REQUESTS.column([(labels(queue="x"), 1)])


def test_samples_are_the_lines_of_the_page() -> None:
    assert PLAIN(1.5).text == "demo_plain 1.5\n"
    assert REQUESTS(2, code="200", path="/").text == 'demo_requests_total{path="/",code="200"} 2\n'
    assert DEPTH(1, queue='a"b\\c\nd').text == 'demo_depth{queue="a\\"b\\\\c\\nd"} 1\n'
    assert STATE.state("on", thing="x").text == 'demo_state{thing="x",state="on"} 1\ndemo_state{thing="x",state="off"} 0\n'
    assert TIMES.histogram(labels(path="/"), [(1.0, 2), (math.inf, 3)], 4.5).text == (
        'demo_time_seconds_bucket{path="/",le="1.0"} 2\ndemo_time_seconds_bucket{path="/",le="+Inf"} 3\n'
        'demo_time_seconds_sum{path="/"} 4.5\ndemo_time_seconds_count{path="/"} 3\n'
    )


def test_a_column_is_the_same_text_as_single_samples() -> None:
    rows = [(labels(queue=name), value) for name, value in (("a", 1), ("b", 2.5), ("c", math.nan))]

    assert DEPTH.column(rows).text == "".join(DEPTH.at(who, value).text for who, value in rows)


@given(st.text(), st.floats() | st.integers(min_value=-(2**53), max_value=2**53))
def test_any_label_and_value_come_back_through_prometheus_own_parser(text: str, value: float) -> None:
    page = rendered(grouped([DEPTH(value, queue=text)]), ExpositionFormat.TEXT).decode()
    (sample,) = next(iter(text_string_to_metric_families(page))).samples
    readable = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()

    assert sample.labels == {"queue": readable}
    assert sample.value == value or (math.isnan(sample.value) and math.isnan(value))
