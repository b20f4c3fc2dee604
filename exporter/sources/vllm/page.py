"""A vLLM page → a snapshot under stable names → samples: pure. Mapped by `mappings.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Kind, Labels, Metric, Sample, Unit, counter, gauge, histogram, info, labels
from exporter.sources.vllm.mappings import ENGINE_LABELS, MAPPINGS, MetricMapping
from exporter.sources.vllm.series import HistogramValue, Key, LabelValues, Page, Series, histograms, merged, parsed

MISSING = gauge(
    "vllm_metric_missing", "Whether the server does not expose a metric, named without vllm_ and _total.",
    "server", "metric",
)  # fmt: skip
CACHE_CONFIG = info(
    "vllm_cache_config_info", "Settings of the KV cache (vllm:cache_config_info).",
    *ENGINE_LABELS, "block_size", "cache_dtype", "gpu_memory_utilization", "num_gpu_blocks",
)  # fmt: skip
LORA_ADAPTERS = gauge(
    "vllm_lora_adapters", "LoRA adapters that have requests, by state of the requests (vllm:lora_requests_info).",
    *ENGINE_LABELS, "state",
)  # fmt: skip
LORA_LIMIT = gauge(
    "vllm_max_lora_adapters", "Maximum number of LoRA adapters in a batch (vllm:lora_requests_info).", *ENGINE_LABELS
)
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
    *(mapping.metric for mapping in MAPPINGS), MISSING, CACHE_CONFIG, LORA_ADAPTERS, LORA_LIMIT, HTTP_REQUESTS,
    HTTP_DURATION,
)  # fmt: skip

_PREFIXES: Final = ("vllm:", "ray_vllm_", "ray_vllm:")
_RAY: Final = "ray_vllm"
_REPLICA_LABELS: Final = ("ReplicaId", "replica", "WorkerId")
"""Ray's labels for one replica of a deployment, the best one first."""
_MAX_CACHE_CONFIGS: Final = 64
_LORA_KEY: Final = "lora_adapters"
_LORA_STATES: Final = ("running", "waiting")


@dataclass(frozen=True)
class LoraState:
    """The LoRA adapters of one engine: how many have requests in each state, and how many fit into a batch."""

    adapters: Mapping[str, int]
    limit: float | None


@dataclass(frozen=True)
class VllmSnapshot:
    """One server's page under stable names. A key holds the values of the metric's labels after `server`."""

    server: str
    numbers: Mapping[MetricMapping, Mapping[Key, float]]
    histograms: Mapping[MetricMapping, Mapping[Key, HistogramValue]]
    missing: frozenset[str]
    """Metrics that the server does not expose, as `vllm_metric_missing` names them."""
    cache_configs: frozenset[Key]
    loras: Mapping[Key, LoraState]
    http_requests: Mapping[Key, float]
    http_durations: Mapping[Key, HistogramValue]


def snapshot(text: str, server: str) -> VllmSnapshot:
    """The page of one server. Raises SourceError(MALFORMED) if it is cut short or has no metric of vLLM."""
    page = parsed(text)
    exposed: Page = {}
    is_ray = False
    for name, series in page.items():
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                exposed[name.removeprefix(prefix)] = series
                is_ray = is_ray or prefix.startswith(_RAY)
    if not exposed:
        raise SourceError(Reason.MALFORMED, "expected vLLM metrics, got none; check the address")
    numbers = {mapping: _numbers(mapping, exposed) for mapping in MAPPINGS if mapping.metric.kind is not Kind.HISTOGRAM}
    durations = {mapping: _histograms(mapping, exposed) for mapping in MAPPINGS if mapping.metric.kind is Kind.HISTOGRAM}
    loras = _loras(exposed.get("lora_requests_info", ()))
    missing = {mapping.key for mapping, found in (*numbers.items(), *durations.items()) if not found}
    if is_ray:
        # Ray leaves out a counter that never rose: there, absent is zero.
        engines = dict.fromkeys(_engine(values) for series in exposed.values() for values, _ in series)
        for mapping, found in numbers.items():
            if mapping.metric.kind is Kind.COUNTER and not mapping.own_labels:
                numbers[mapping] = dict.fromkeys(engines, 0.0) | found
    cache_configs = exposed.get("cache_config_info", [])[:_MAX_CACHE_CONFIGS]
    return VllmSnapshot(
        server=server,
        numbers=numbers,
        histograms=durations,
        missing=frozenset(missing | (set() if loras else {_LORA_KEY})),
        cache_configs=frozenset(_cache_config(values) for values, _ in cache_configs),
        loras=loras,
        http_requests=_http_requests(page),
        http_durations=histograms(page, "http_request_duration_seconds", lambda values: _of(values, "handler", "method")),
    )


def _of(values: LabelValues, *names: str) -> Key:
    return tuple(values.get(name, "") for name in names)


def _engine(values: LabelValues) -> Key:
    """(model, engine, replica); the replica is empty without Ray."""
    replica = next((values[name] for name in _REPLICA_LABELS if values.get(name)), "")
    return values.get("model_name", values.get("model", "")), values.get("engine", "0"), replica


def _key(mapping: MetricMapping, values: LabelValues) -> Key:
    return (*_engine(values), *_of(values, *(theirs for _, theirs in mapping.own_labels)))


def _numbers(mapping: MetricMapping, page: Page) -> dict[Key, float]:
    for name in mapping.names:
        if series := page.get(f"{name}_total", page.get(name)):
            is_gauge = mapping.metric.kind is Kind.GAUGE
            return merged(series, lambda values: _key(mapping, values), mapping.merge, is_gauge=is_gauge)
    return {}


def _histograms(mapping: MetricMapping, page: Page) -> dict[Key, HistogramValue]:
    for name in mapping.names:
        if f"{name}_bucket" in page:
            return histograms(page, name, lambda values: _key(mapping, values))
    return {}


def _cache_config(values: LabelValues) -> Key:
    return (*_engine(values), *_of(values, *CACHE_CONFIG.labels[len(ENGINE_LABELS) :]))


def _loras(series: Iterable[Series]) -> dict[Key, LoraState]:
    """vLLM adds a series for every combination of adapters, whose value is its time: the latest one is current."""
    latest: dict[Key, Series] = {}
    for values, at in series:
        engine = _engine(values)
        if engine not in latest or at > latest[engine][1]:
            latest[engine] = (values, at)
    found = {}
    for engine, (values, _) in latest.items():
        adapters = {state: len(set(_words(values.get(f"{state}_lora_adapters", "")))) for state in _LORA_STATES}
        limit = values.get("max_lora", "")
        found[engine] = LoraState(adapters, int(limit) if limit.isdecimal() and limit.isascii() else None)
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _http_requests(page: Page) -> dict[Key, float]:
    found: dict[Key, float] = defaultdict(float)
    for values, value in page.get("http_requests_total", ()):
        found[_of(values, "handler", "method", "status")] += value
    return found


def _labels(metric: Metric, server: str, key: Key) -> Labels:
    return labels(**dict(zip(metric.labels, (server, *key), strict=True)))


def samples(found: VllmSnapshot) -> Iterable[Sample]:
    """Every metric of one server."""
    server = found.server
    for mapping in MAPPINGS:
        metric = mapping.metric
        yield MISSING(mapping.key in found.missing, server=server, metric=mapping.key)
        for key, value in found.numbers.get(mapping, {}).items():
            yield metric.at(_labels(metric, server, key), value)
        for key, distribution in found.histograms.get(mapping, {}).items():
            yield metric.histogram(_labels(metric, server, key), distribution.buckets, distribution.total)
    yield MISSING(_LORA_KEY in found.missing, server=server, metric=_LORA_KEY)
    for key in sorted(found.cache_configs):
        yield CACHE_CONFIG.at(_labels(CACHE_CONFIG, server, key), 1)
    for key, state in found.loras.items():
        for name, number in state.adapters.items():
            yield LORA_ADAPTERS.at(_labels(LORA_ADAPTERS, server, (*key, name)), number)
        if state.limit is not None:
            yield LORA_LIMIT.at(_labels(LORA_LIMIT, server, key), state.limit)
    for key, value in found.http_requests.items():
        yield HTTP_REQUESTS.at(_labels(HTTP_REQUESTS, server, key), value)
    for key, distribution in found.http_durations.items():
        yield HTTP_DURATION.histogram(_labels(HTTP_DURATION, server, key), distribution.buckets, distribution.total)
