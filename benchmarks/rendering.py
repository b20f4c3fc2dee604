"""100 000 series from value to page, next to prometheus-client with the same values."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from benchmarks.figure import Figure, median
from exporter.metrics import process
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import gauge

SERIES = 100_000
_DEPTH = gauge("bench_depth", "Depth.", "stream", "consumer")


def _page() -> bytes:
    samples = [_DEPTH(number, stream="PLANNING_EVENTS", consumer=f"consumer-{number}") for number in range(SERIES)]
    return rendered(grouped(samples), ExpositionFormat.TEXT)


def figures() -> list[Figure]:
    process.tune_garbage_collection()  # as in the command
    registry = CollectorRegistry()
    peer = Gauge("bench_depth", "Depth.", ("stream", "consumer"), registry=registry)
    for number in range(SERIES):
        peer.labels("PLANNING_EVENTS", f"consumer-{number}").set(number)
    reference = median(lambda: generate_latest(registry), rounds=3) / SERIES * 1e6
    whole = median(_page) / SERIES * 1e6
    samples = [_DEPTH(number, stream="PLANNING_EVENTS", consumer=f"consumer-{number}") for number in range(SERIES)]
    encode = median(lambda: rendered(grouped(samples), ExpositionFormat.TEXT)) / SERIES * 1e6
    return [
        Figure(
            "rendering 100 000 series, values to page",
            f"{whole:.2f} µs per series ({encode:.2f} of it samples to page)",
            "≤ 1.4 µs a series",
            whole <= 1.4,
            f"prometheus-client, encoding only: {reference:.2f} µs",
        )
    ]
