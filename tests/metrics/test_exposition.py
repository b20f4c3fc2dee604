"""Both formats of a page, as Prometheus's own tools read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from exporter.metrics.exposition import ExpositionFormat, grouped, negotiated, rendered
from exporter.metrics.metric import Unit, counter, gauge, histogram, info, labels, state_set

COUNT = counter("demo_bytes_total", "Bytes counted.", "queue", unit=Unit.BYTES)
DEPTH = gauge("demo_depth", "Depth of it.", "queue")
TIMES = histogram("demo_time_seconds", "Times.", unit=Unit.SECONDS)
STATE = state_set("demo_state", "State of it.", "thing", states=("on", "off"))
ABOUT = info("demo_info", "About it.", "version")

SAMPLES = [
    COUNT(5, queue="a"),
    DEPTH(1, queue="a"),
    COUNT(6, queue="b"),
    TIMES.histogram(labels(), [(1.0, 2), (float("inf"), 3)], 4.5),
    STATE.state("off", thing="x"),
    ABOUT(1, version="1"),
]


def test_the_lines_of_a_metric_follow_its_header() -> None:
    page = rendered(grouped(SAMPLES[:3]), ExpositionFormat.TEXT).decode()

    assert page == (
        "# HELP demo_bytes_total Bytes counted.\n# TYPE demo_bytes_total counter\n"
        'demo_bytes_total{queue="a"} 5\ndemo_bytes_total{queue="b"} 6\n'
        "# HELP demo_depth Depth of it.\n# TYPE demo_depth gauge\n"
        'demo_depth{queue="a"} 1\n'
    )


def test_openmetrics_names_the_family_and_its_unit_and_ends_the_page() -> None:
    page = rendered(grouped(SAMPLES), ExpositionFormat.OPENMETRICS).decode()

    assert "# TYPE demo_bytes counter\n# UNIT demo_bytes bytes\n" in page
    assert page.endswith("# EOF\n")
    assert {family.name for family in openmetrics_families(page)} == {  # type: ignore[no-untyped-call]  # prometheus_client does not annotate it
        "demo_bytes", "demo_depth", "demo_time_seconds", "demo_state", "demo_info",
    }  # fmt: skip


def test_promtool_accepts_it(promtool: Path) -> None:
    page = rendered(grouped(SAMPLES), ExpositionFormat.TEXT)
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"demo_depth"}, {"demo_depth"}),
        ({"demo_bytes_total", "demo_state"}, {"demo_bytes_total", "demo_state"}),
        ({"demo_time_seconds_bucket"}, {"demo_time_seconds"}),
        ({"unheard_of"}, set()),
    ],
)
def test_the_name_filter_keeps_the_named_metrics(names: set[str], expected: set[str]) -> None:
    page = rendered(grouped(SAMPLES), ExpositionFormat.TEXT, names).decode()

    assert {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")} == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ExpositionFormat.TEXT),
        ("*/*", ExpositionFormat.TEXT),
        ("text/plain", ExpositionFormat.TEXT),
        ("application/openmetrics-text", ExpositionFormat.OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", ExpositionFormat.OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.9", ExpositionFormat.TEXT),
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.5", ExpositionFormat.TEXT),
        ("application/openmetrics-text;q=banana", ExpositionFormat.TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily,*/*;q=0.1", ExpositionFormat.TEXT),
    ],
)
def test_content_negotiation(accept: str, expected: ExpositionFormat) -> None:
    assert negotiated(accept) is expected
