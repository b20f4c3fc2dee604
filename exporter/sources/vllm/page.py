"""A vLLM page → samples under stable names: pure. Read by Prometheus's own parser, mapped by `concepts.py`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Kind, Labels, Metric, Sample, Unit, counter, gauge, histogram, info, labels
from exporter.sources.vllm.concepts import CONCEPTS, Concept

MISSING = gauge(
    "vllm_concept_missing", "Whether the server does not expose a metric, named without vllm_ and _total.",
    "server", "concept",
)  # fmt: skip
CACHE_CONFIG = info(
    "vllm_cache_config_info", "Settings of the KV cache (vllm:cache_config_info).",
    "server", "model", "engine", "block_size", "cache_dtype", "gpu_memory_utilization", "num_gpu_blocks",
)  # fmt: skip
HTTP_REQUESTS = counter(
    "vllm_http_requests_total",
    "HTTP requests by status class (http_requests_total).",
    "server",
    "handler",
    "method",
    "status",
)
HTTP_DURATION = histogram(
    "vllm_http_request_duration_seconds", "Duration of HTTP requests (http_request_duration_seconds).",
    "server", "handler", "method", unit=Unit.SECONDS,
)  # fmt: skip

METRICS: Final[tuple[Metric, ...]] = (
    *(concept.metric for concept in CONCEPTS), MISSING, CACHE_CONFIG, HTTP_REQUESTS, HTTP_DURATION,
)  # fmt: skip

_PREFIXES: Final = ("vllm:", "ray_vllm_", "ray_vllm:")
_RAY: Final = "ray_vllm"

LabelValues = Mapping[str, str]
Series = tuple[LabelValues, float]
Page = dict[str, list[Series]]
"""Each series name of a page with its label sets and values."""


def parsed(text: str) -> Page:
    """The page's series by name, `_created` twins left out. Raises SourceError(MALFORMED) for what is no such page."""
    page: Page = defaultdict(list)
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    page[sample.name].append((sample.labels, float(sample.value)))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise SourceError(Reason.MALFORMED, f"expected the Prometheus text format, got an invalid line: {error}") from None
    return dict(page)


def samples(page: Page, server: str) -> Iterable[Sample]:
    """The stable samples of one server. Raises SourceError(MALFORMED) when nothing on the page is vLLM's."""
    told: Page = {}
    ray = False
    for name, series in page.items():
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                told[name.removeprefix(prefix)] = series
                ray = ray or prefix.startswith(_RAY)
    if not told:
        raise SourceError(Reason.MALFORMED, "expected vLLM metrics, got none")
    engines = list(dict.fromkeys(_engine(values) for series in told.values() for values, _ in series))
    for concept in CONCEPTS:
        found = list(_concept_samples(concept, told, server))
        yield MISSING(not found, server=server, concept=concept.key)
        yield from found
        if not found and ray and concept.metric.kind is Kind.COUNTER and not concept.own_labels:
            # Ray leaves out a counter that never rose: there, absent is zero.
            for model, engine in engines:
                yield concept.metric(0, server=server, model=model, engine=engine)
    yield from _cache_config(told, server)
    yield from _http(page, server)


def _engine(values: LabelValues) -> tuple[str, str]:
    return values.get("model_name", values.get("model", "")), values.get("engine", "0")


def _concept_samples(concept: Concept, told: Page, server: str) -> Iterable[Sample]:
    for name in concept.names:
        if concept.metric.kind is Kind.HISTOGRAM:
            if f"{name}_bucket" in told:
                return _histograms(concept.metric, told, name, lambda values: _labels(concept, values, server))
        elif series := told.get(f"{name}_total", told.get(name)):
            return _numbers(concept, series, server)
    return ()


def _labels(concept: Concept, values: LabelValues, server: str) -> Labels:
    model, engine = _engine(values)
    own = {label: values.get(theirs, "") for label, theirs in concept.own_labels}
    return labels(server=server, model=model, engine=engine, **own)


def _numbers(concept: Concept, series: Iterable[Series], server: str) -> Iterable[Sample]:
    """One sample per label set; what our labels do not tell apart (Ray's replicas, leaked pids) is brought together.

    Counters and queue lengths of replicas add up. A share does not, nor does a gauge that several API servers repeat
    under their pid: there the largest is the true one.
    """
    merged: dict[Labels, list[float]] = defaultdict(list)
    repeated = False
    for values, value in series:
        merged[_labels(concept, values, server)].append(value)
        repeated = repeated or "pid" in values
    gauge_like = concept.metric.kind is Kind.GAUGE
    largest = gauge_like and (repeated or concept.metric.unit is Unit.RATIO or bool(concept.own_labels))
    for who, numbers in merged.items():
        yield concept.metric.at(who, max(numbers) if largest else math.fsum(numbers))


def _histograms(metric: Metric, told: Page, name: str, owner: Callable[[LabelValues], Labels]) -> Iterable[Sample]:
    buckets: dict[Labels, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    sums: dict[Labels, float] = defaultdict(float)
    for values, value in told[f"{name}_bucket"]:
        try:
            bound = float(values.get("le", ""))
        except ValueError:
            continue
        buckets[owner(values)][bound] += value
    for values, value in told.get(f"{name}_sum", ()):
        sums[owner(values)] += value
    for who, counts in buckets.items():
        if math.inf in counts:
            yield metric.histogram(who, sorted(counts.items()), sums[who])


def _cache_config(told: Page, server: str) -> Iterable[Sample]:
    for values, _ in told.get("cache_config_info", ())[:64]:
        model, engine = _engine(values)
        shown = {name: values.get(name, "") for name in CACHE_CONFIG.labels[3:]}
        yield CACHE_CONFIG(1, server=server, model=model, engine=engine, **shown)


def _http(page: Page, server: str) -> Iterable[Sample]:
    merged: dict[tuple[str, str, str], float] = defaultdict(float)
    for values, value in page.get("http_requests_total", ()):
        merged[values.get("handler", ""), values.get("method", ""), values.get("status", "")] += value
    for (handler, method, status), value in merged.items():
        yield HTTP_REQUESTS(value, server=server, handler=handler, method=method, status=status)
    if "http_request_duration_seconds_bucket" in page:

        def owner(values: LabelValues) -> Labels:
            return labels(server=server, handler=values.get("handler", ""), method=values.get("method", ""))

        yield from _histograms(HTTP_DURATION, page, "http_request_duration_seconds", owner)
