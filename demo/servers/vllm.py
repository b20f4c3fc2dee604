"""A stand-in for a vLLM server: none runs here without a model, so this serves a page of its shape with moving numbers.

Names, labels, types and buckets are those of vLLM 0.32; what it counts are the requests that `generate` pretends.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, MetricsHandler

MODEL = "Qwen/Qwen3-0.6B"
_ENGINE = {"model_name": MODEL, "engine": "0"}
_REASONS = ("stop", "length", "abort", "error", "repetition")
_LATENCIES = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_DURATIONS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass
class VllmStandIn:
    """The numbers of one pretended engine."""

    url: str
    registry: CollectorRegistry
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        labels = tuple(_ENGINE)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"vllm:{name}", text, labels, registry=self.registry)

        def counter(name: str, text: str, *more: str) -> Counter:
            return Counter(f"vllm:{name}", text, (*labels, *more), registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"vllm:{name}", text, labels, buckets=buckets, registry=self.registry)

        self.running = gauge("num_requests_running", "Requests in execution").labels(**_ENGINE)
        self.waiting = gauge("num_requests_waiting", "Requests that wait").labels(**_ENGINE)
        self.cache = gauge("kv_cache_usage_perc", "KV cache in use, 1 is all of it").labels(**_ENGINE)
        self.prompt = counter("prompt_tokens", "Prompt tokens").labels(**_ENGINE)
        self.generated = counter("generation_tokens", "Generated tokens").labels(**_ENGINE)
        self.preemptions = counter("num_preemptions", "Preemptions").labels(**_ENGINE)
        self.queries = counter("prefix_cache_queries", "Tokens looked up").labels(**_ENGINE)
        self.hits = counter("prefix_cache_hits", "Tokens found").labels(**_ENGINE)
        finished = counter("request_success", "Requests finished", "finished_reason")
        self.finished = {reason: finished.labels(**_ENGINE, finished_reason=reason) for reason in _REASONS}
        self.first_token = histogram("time_to_first_token_seconds", "First token", _LATENCIES).labels(**_ENGINE)
        self.between = histogram("inter_token_latency_seconds", "Between tokens", _LATENCIES).labels(**_ENGINE)
        self.duration = histogram("e2e_request_latency_seconds", "Whole request", _DURATIONS).labels(**_ENGINE)
        self.queue = histogram("request_queue_time_seconds", "In the queue", _DURATIONS).labels(**_ENGINE)
        self.request_prompt = histogram("request_prompt_tokens", "Prompt of a request", _TOKENS).labels(**_ENGINE)
        self.request_generated = histogram("request_generation_tokens", "Answer of a request", _TOKENS).labels(**_ENGINE)
        self.http = Counter("http_requests", "HTTP requests", ("handler", "method", "status"), registry=self.registry)

    def generate(self, prompt_tokens: int, answer_tokens: int, seconds: float) -> None:
        """Count one finished chat request."""
        self.prompt.inc(prompt_tokens)
        self.generated.inc(answer_tokens)
        self.queries.inc(prompt_tokens)
        self.hits.inc(prompt_tokens // 3)
        self.finished["stop" if self._random.random() < 0.9 else "length"].inc()
        self.first_token.observe(seconds * 0.1)
        self.between.observe(seconds / max(answer_tokens, 1))
        self.duration.observe(seconds)
        self.queue.observe(seconds * 0.05)
        self.request_prompt.observe(prompt_tokens)
        self.request_generated.observe(answer_tokens)
        self.http.labels(handler="/v1/chat/completions", method="POST", status="2xx").inc()

    def load(self, requests: int) -> None:
        """Have that many requests at once: four run, the others wait."""
        self.running.set(min(requests, 4))
        self.waiting.set(max(requests - 4, 0))
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
