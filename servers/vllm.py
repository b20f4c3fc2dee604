"""A stand-in for a vLLM server, which needs a model: it serves vLLM's metrics with changing values.

Names, labels, types and buckets are the same as in vLLM 0.32; the values count the requests that `generate` simulates.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, MetricsHandler

MODEL = "Qwen/Qwen3-0.6B"
_ENGINE = {"model_name": MODEL, "engine": "0"}
_REASONS = ("stop", "length", "abort", "error", "repetition")
_TIERS = ("device", "host", "p2p", "disk", "external_unspecified")
_SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")
_CACHE = _ENGINE | {
    "block_size": "16",
    "cache_dtype": "auto",
    "gpu_memory_utilization": "0.9",
    "num_gpu_blocks": "14336",
    "enable_prefix_caching": "True",
}
_LATENCIES = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_DURATIONS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0)
_STEPS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass
class VllmStandIn:
    """The metrics of one simulated engine."""

    url: str
    registry: CollectorRegistry
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.running = self._gauge("num_requests_running", "Requests in execution")
        self.waiting = self._gauge("num_requests_waiting", "Requests that wait")
        self.cache = self._gauge("kv_cache_usage_perc", "KV cache in use, 1 is all of it")
        states = ("awake", "weights_offloaded", "discard_all")
        for state, gauge in self._gauges("engine_sleep_state", "Sleep state", "sleep_state", states).items():
            gauge.set(state == "awake")
        self.waiting_for = self._gauges(
            "num_requests_waiting_by_reason", "Requests that wait", "reason", ("capacity", "deferred")
        )
        Info("vllm:cache_config", "Settings of the KV cache", registry=self.registry).info(_CACHE)

        self.prompt = self._counter("prompt_tokens", "Prompt tokens")
        self.cached = self._counter("prompt_tokens_cached", "Prompt tokens found in a cache")
        self.tiers = self._counters("prompt_tokens_cached_by_source", "Cached prompt tokens", "source", _TIERS)
        self.sources = self._counters("prompt_tokens_by_source", "Prompt tokens", "source", _SOURCES)
        self.generated = self._counter("generation_tokens", "Generated tokens")
        self._counter("num_preemptions", "Preemptions")
        self.queries = self._counter("prefix_cache_queries", "Tokens looked up")
        self.hits = self._counter("prefix_cache_hits", "Tokens found")
        for name in ("external_prefix_cache", "mm_cache"):
            for what in ("queries", "hits"):
                self._counter(f"{name}_{what}", "Lookups of a cache that this engine does not use")
        for name in ("flops", "read_bytes", "write_bytes"):
            self._counter(f"estimated_{name}_per_gpu", "Estimates that this engine does not make")
        self.finished = self._counters("request_success", "Requests finished", "finished_reason", _REASONS)
        self._counters("admission_rejections", "Requests refused", "reason", ("max_queue_size",))

        self.first_token = self._histogram("time_to_first_token_seconds", "First token", _LATENCIES)
        self.between = self._histogram("inter_token_latency_seconds", "Between tokens", _LATENCIES)
        self.per_token = self._histogram("request_time_per_output_token_seconds", "Mean time of a token", _LATENCIES)
        self.duration = self._histogram("e2e_request_latency_seconds", "Whole request", _DURATIONS)
        self.queue = self._histogram("request_queue_time_seconds", "In the queue", _DURATIONS)
        self.inference = self._histogram("request_inference_time_seconds", "In execution", _DURATIONS)
        self.prefill = self._histogram("request_prefill_time_seconds", "Prefill", _DURATIONS)
        self.decode = self._histogram("request_decode_time_seconds", "Decoding", _DURATIONS)
        self.request_prompt = self._histogram("request_prompt_tokens", "Prompt of a request", _TOKENS)
        self.request_generated = self._histogram("request_generation_tokens", "Answer of a request", _TOKENS)
        self.preempted = self._histogram("request_num_preemptions", "Preemptions of a request", _TOKENS)
        self.prefilled = self._histogram("request_prefill_kv_computed_tokens", "Computed in prefill", _TOKENS)
        self.maximum = self._histogram("request_max_num_generation_tokens", "Maximum answer", _TOKENS)
        self.max_tokens = self._histogram("request_params_max_tokens", "Parameter max_tokens", _TOKENS)
        self.answers = self._histogram("request_params_n", "Parameter n", _TOKENS)
        self.iteration = self._histogram("iteration_tokens_total", "Tokens of one step", _STEPS)
        self.http = Counter("http_requests", "HTTP requests", ("handler", "method", "status"), registry=self.registry)
        self.http_seconds = Histogram(
            "http_request_duration_seconds",
            "HTTP requests",
            ("handler", "method"),
            buckets=(0.1, 0.5, 1.0),
            registry=self.registry,
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, tuple(_ENGINE), registry=self.registry).labels(**_ENGINE)

    def _gauges(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Gauge]:
        family = Gauge(f"vllm:{name}", text, (*_ENGINE, label), registry=self.registry)
        return {value: family.labels(**_ENGINE, **{label: value}) for value in values}

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, tuple(_ENGINE), registry=self.registry).labels(**_ENGINE)

    def _counters(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Counter]:
        family = Counter(f"vllm:{name}", text, (*_ENGINE, label), registry=self.registry)
        return {value: family.labels(**_ENGINE, **{label: value}) for value in values}

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"vllm:{name}", text, tuple(_ENGINE), buckets=buckets, registry=self.registry).labels(**_ENGINE)

    def generate(self, prompt_tokens: int, answer_tokens: int, seconds: float) -> None:
        """Count one finished chat request."""
        cached = prompt_tokens // 3
        self.prompt.inc(prompt_tokens)
        self.cached.inc(cached)
        self.tiers["device"].inc(cached)
        self.sources["local_cache_hit"].inc(cached)
        self.sources["local_compute"].inc(prompt_tokens - cached)
        self.generated.inc(answer_tokens)
        self.queries.inc(prompt_tokens)
        self.hits.inc(cached)
        self.finished["stop" if self._random.random() < 0.9 else "length"].inc()
        self.first_token.observe(seconds * 0.1)
        self.between.observe(seconds / max(answer_tokens, 1))
        self.per_token.observe(seconds / max(answer_tokens, 1))
        self.duration.observe(seconds)
        self.queue.observe(seconds * 0.05)
        self.inference.observe(seconds * 0.95)
        self.prefill.observe(seconds * 0.05)
        self.decode.observe(seconds * 0.9)
        self.request_prompt.observe(prompt_tokens)
        self.request_generated.observe(answer_tokens)
        self.preempted.observe(0)
        self.prefilled.observe(prompt_tokens - cached)
        self.maximum.observe(answer_tokens)
        self.max_tokens.observe(answer_tokens)
        self.answers.observe(1)
        self.iteration.observe(prompt_tokens - cached)
        self.http.labels(handler="/v1/chat/completions", method="POST", status="2xx").inc()
        self.http_seconds.labels(handler="/v1/chat/completions", method="POST").observe(seconds)

    def load(self, requests: int) -> None:
        """Set the number of concurrent requests: four run, the others wait."""
        self.running.set(min(requests, 4))
        self.waiting.set(max(requests - 4, 0))
        self.waiting_for["capacity"].set(max(requests - 4, 0))
        self.cache.set(min(requests * 0.07, 1.0))


@contextlib.contextmanager
def start() -> Iterator[VllmStandIn]:
    """Serve the page on a free port."""
    registry = CollectorRegistry()
    handler = MetricsHandler.factory(registry)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="vllm stand-in")
        thread.start()
        try:
            yield VllmStandIn(f"http://127.0.0.1:{server.server_port}", registry)
        finally:
            server.shutdown()
            thread.join()
