"""One stable metric for each thing vLLM tells, and the names under which its versions have told it.

vLLM renames and removes metrics from version to version. A concept lists its names, the newest first; the first one on a
page is read and its older twins are not, since both can be there at once and say the same. Names stand here without the
prefix (`vllm:`, under Ray Serve `ray_vllm_`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.metrics.metric import Kind, Metric, Unit

ENGINE_LABELS: Final = ("server", "model", "engine")


@dataclass(frozen=True, eq=False)
class Concept:
    """A metric, vLLM's names for it, and vLLM's label for each label the metric has beyond server, model and engine."""

    metric: Metric
    names: tuple[str, ...]
    own_labels: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """What `vllm_concept_missing` calls it."""
        return self.metric.name.removeprefix("vllm_").removesuffix("_total")


def _concept(
    name: str, meaning: str, *names: str, kind: Kind, unit: Unit = Unit.NONE, extra: tuple[tuple[str, str], ...] = ()
) -> Concept:
    own = tuple(label for label, _ in extra)
    told = f"vllm:{names[0]}" + (f", formerly {', '.join(names[1:])}" if names[1:] else "")
    return Concept(Metric(f"vllm_{name}", f"{meaning} ({told}).", kind, unit, (*ENGINE_LABELS, *own)), names, extra)


def _gauge(name: str, meaning: str, *names: str, unit: Unit = Unit.NONE, extra: tuple[tuple[str, str], ...] = ()) -> Concept:
    return _concept(name, meaning, *names, kind=Kind.GAUGE, unit=unit, extra=extra)


def _counter(name: str, meaning: str, *names: str, extra: tuple[tuple[str, str], ...] = ()) -> Concept:
    return _concept(f"{name}_total", meaning, *names, kind=Kind.COUNTER, extra=extra)


def _seconds(name: str, meaning: str, *names: str) -> Concept:
    return _concept(f"{name}_seconds", meaning, *names, kind=Kind.HISTOGRAM, unit=Unit.SECONDS)


def _sizes(name: str, meaning: str, *names: str) -> Concept:
    return _concept(name, meaning, *names, kind=Kind.HISTOGRAM)


RUNNING = _gauge("requests_running", "Requests running", "num_requests_running")
WAITING = _gauge("requests_waiting", "Requests waiting in the queue", "num_requests_waiting")
WAITING_BY_REASON = _gauge(
    "requests_waiting_by_reason", "Requests waiting, by reason", "num_requests_waiting_by_reason",
    extra=(("reason", "reason"),),
)  # fmt: skip
SWAPPED = _gauge("requests_swapped", "Requests swapped out to CPU memory", "num_requests_swapped")
KV_CACHE = _gauge(
    "kv_cache_usage_ratio", "Share of the KV cache in use", "kv_cache_usage_perc", "gpu_cache_usage_perc", unit=Unit.RATIO
)
SLEEP = _gauge("engine_sleep_state", "Sleep state of the engine", "engine_sleep_state", extra=(("state", "sleep_state"),))
HEALTHY = _gauge("engine_healthy", "Whether the engine reports that it is healthy", "engine_healthy")
PROMPT_TOKENS = _counter("prompt_tokens", "Prompt tokens processed", "prompt_tokens")
CACHED_TOKENS = _counter("prompt_tokens_cached", "Prompt tokens read from a cache", "prompt_tokens_cached")
TOKENS_BY_SOURCE = _counter(
    "prompt_tokens_by_source",
    "Prompt tokens by source",
    "prompt_tokens_by_source",
    extra=(("origin", "source"),),
)
GENERATION_TOKENS = _counter("generation_tokens", "Tokens generated", "generation_tokens")
FINISHED = _counter(
    "requests_finished", "Requests finished, by reason", "request_success", extra=(("finished_reason", "finished_reason"),)
)
PREEMPTIONS = _counter("preemptions", "Requests preempted", "num_preemptions")
CORRUPTED = _counter("corrupted_requests", "Requests with NaN in their logits", "corrupted_requests")
REJECTIONS = _counter(
    "admission_rejections", "Requests rejected by a queue limit", "admission_rejections", extra=(("reason", "reason"),)
)
PREFIX_QUERIES = _counter(
    "prefix_cache_queries", "Tokens looked up in the prefix cache", "prefix_cache_queries", "gpu_prefix_cache_queries"
)
PREFIX_HITS = _counter("prefix_cache_hits", "Tokens found in the prefix cache", "prefix_cache_hits", "gpu_prefix_cache_hits")
EXTERNAL_QUERIES = _counter(
    "external_prefix_cache_queries", "Tokens looked up in another instance's cache", "external_prefix_cache_queries"
)
EXTERNAL_HITS = _counter(
    "external_prefix_cache_hits", "Tokens found in another instance's cache", "external_prefix_cache_hits"
)
MULTIMODAL_QUERIES = _counter("multimodal_cache_queries", "Items looked up in the multimodal cache", "mm_cache_queries")
MULTIMODAL_HITS = _counter("multimodal_cache_hits", "Items found in the multimodal cache", "mm_cache_hits")
DRAFTS = _counter("speculative_drafts", "Speculative drafts", "spec_decode_num_drafts")
DRAFT_TOKENS = _counter("speculative_draft_tokens", "Tokens drafted", "spec_decode_num_draft_tokens")
ACCEPTED_TOKENS = _counter("speculative_accepted_tokens", "Drafted tokens accepted", "spec_decode_num_accepted_tokens")
TIME_TO_FIRST_TOKEN = _seconds("time_to_first_token", "Time to the first token", "time_to_first_token_seconds")
INTER_TOKEN = _seconds(
    "inter_token_latency", "Time between output tokens", "inter_token_latency_seconds", "time_per_output_token_seconds"
)
TIME_PER_TOKEN = _seconds(
    "request_time_per_output_token", "Mean time per output token of a request", "request_time_per_output_token_seconds"
)
DURATION = _seconds("request_duration", "Time from arrival to completion of a request", "e2e_request_latency_seconds")
QUEUE_TIME = _seconds(
    "request_queue_time", "Time a request spent in the queue", "request_queue_time_seconds", "time_in_queue_requests"
)
INFERENCE_TIME = _seconds("request_inference_time", "Time a request was running", "request_inference_time_seconds")
PREFILL_TIME = _seconds("request_prefill_time", "Prefill time of a request", "request_prefill_time_seconds")
DECODE_TIME = _seconds("request_decode_time", "Decode time of a request", "request_decode_time_seconds")
REQUEST_PROMPT = _sizes("request_prompt_tokens", "Prompt tokens of a request", "request_prompt_tokens")
REQUEST_GENERATION = _sizes("request_generation_tokens", "Tokens generated for a request", "request_generation_tokens")
ITERATION = _sizes("iteration_tokens", "Tokens processed per engine step", "iteration_tokens_total")
REQUEST_PREEMPTIONS = _sizes("request_preemptions", "Preemptions of a request", "request_num_preemptions")

CONCEPTS: Final = (
    RUNNING, WAITING, WAITING_BY_REASON, SWAPPED, KV_CACHE, SLEEP, HEALTHY, PROMPT_TOKENS, CACHED_TOKENS,
    TOKENS_BY_SOURCE, GENERATION_TOKENS, FINISHED, PREEMPTIONS, CORRUPTED, REJECTIONS, PREFIX_QUERIES, PREFIX_HITS,
    EXTERNAL_QUERIES, EXTERNAL_HITS, MULTIMODAL_QUERIES, MULTIMODAL_HITS, DRAFTS, DRAFT_TOKENS, ACCEPTED_TOKENS,
    TIME_TO_FIRST_TOKEN, INTER_TOKEN, TIME_PER_TOKEN, DURATION, QUEUE_TIME, INFERENCE_TIME, PREFILL_TIME, DECODE_TIME,
    REQUEST_PROMPT, REQUEST_GENERATION, ITERATION, REQUEST_PREEMPTIONS,
)  # fmt: skip
