"""One stable metric for each vLLM metric, and the names that vLLM's versions have for it.

vLLM renames and removes metrics between versions. A mapping lists the names, newest first; the first one on a page is read
and the older ones are not, since a page can have both with the same value. Names are without prefix (`vllm:`, and under
Ray Serve `ray_vllm_`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from exporter.metrics.metric import Kind, Metric, Unit

ENGINE_LABELS: Final = ("server", "model", "engine", "replica")
OwnLabels = tuple[tuple[str, str], ...]


class Merge(Enum):
    """How series with equal exported labels are merged, such as series of worker processes."""

    SUM = auto()
    MAX = auto()
    MIN = auto()


@dataclass(frozen=True, eq=False)
class MetricMapping:
    """A metric, vLLM's names for it, and vLLM's label for each label the metric has beyond ENGINE_LABELS."""

    metric: Metric
    names: tuple[str, ...]
    own_labels: OwnLabels = ()
    merge: Merge = Merge.SUM

    @property
    def key(self) -> str:
        """Value of the label `metric` of `vllm_metric_missing`."""
        return self.metric.name.removeprefix("vllm_").removesuffix("_total")


def _mapping(
    name: str,
    meaning: str,
    *names: str,
    kind: Kind,
    unit: Unit = Unit.NONE,
    extra: OwnLabels = (),
    merge: Merge = Merge.SUM,
) -> MetricMapping:
    own = tuple(label for label, _ in extra)
    origin = f"vllm:{names[0]}" + (f", formerly {', '.join(names[1:])}" if names[1:] else "")
    metric = Metric(f"vllm_{name}", f"{meaning} ({origin}).", kind, unit, (*ENGINE_LABELS, *own))
    return MetricMapping(metric, names, extra, merge)


def _gauge(
    name: str,
    meaning: str,
    *names: str,
    unit: Unit = Unit.NONE,
    extra: OwnLabels = (),
    merge: Merge = Merge.SUM,
) -> MetricMapping:
    return _mapping(name, meaning, *names, kind=Kind.GAUGE, unit=unit, extra=extra, merge=merge)


def _counter(name: str, meaning: str, *names: str, extra: OwnLabels = (), merge: Merge = Merge.SUM) -> MetricMapping:
    return _mapping(f"{name}_total", meaning, *names, kind=Kind.COUNTER, extra=extra, merge=merge)


def _seconds(name: str, meaning: str, *names: str) -> MetricMapping:
    return _mapping(f"{name}_seconds", meaning, *names, kind=Kind.HISTOGRAM, unit=Unit.SECONDS)


def _sizes(name: str, meaning: str, *names: str) -> MetricMapping:
    return _mapping(name, meaning, *names, kind=Kind.HISTOGRAM)


RUNNING = _gauge("requests_running", "Requests running", "num_requests_running")
WAITING = _gauge("requests_waiting", "Requests waiting in the queue", "num_requests_waiting")
WAITING_BY_REASON = _gauge(
    "requests_waiting_by_reason", "Requests waiting, by reason", "num_requests_waiting_by_reason",
    extra=(("reason", "reason"),),
)  # fmt: skip
SWAPPED = _gauge("requests_swapped", "Requests swapped out to CPU memory", "num_requests_swapped")
KV_CACHE = _gauge(
    "kv_cache_usage_ratio", "Share of the KV cache in use", "kv_cache_usage_perc", "gpu_cache_usage_perc",
    unit=Unit.RATIO, merge=Merge.MAX,
)  # fmt: skip
SLEEP = _gauge(
    "engine_sleep_state", "Sleep state of the engine", "engine_sleep_state", extra=(("state", "sleep_state"),),
    merge=Merge.MAX,
)  # fmt: skip
HEALTHY = _gauge("engine_healthy", "Whether the engine reports that it is healthy", "engine_healthy", merge=Merge.MIN)
PROMPT_TOKENS = _counter("prompt_tokens", "Prompt tokens processed", "prompt_tokens")
CACHED_TOKENS = _counter("prompt_tokens_cached", "Prompt tokens read from a cache", "prompt_tokens_cached")
CACHED_TOKENS_BY_SOURCE = _counter(
    "prompt_tokens_cached_by_source",
    "Prompt tokens read from a cache, by cache tier",
    "prompt_tokens_cached_by_source",
    extra=(("origin", "source"),),
)
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
FLOPS = _counter(
    "estimated_flops_per_gpu", "Floating point operations per GPU, estimated", "estimated_flops_per_gpu", merge=Merge.MAX
)
READ_BYTES = _counter(
    "estimated_read_bytes_per_gpu", "Bytes read from memory per GPU, estimated", "estimated_read_bytes_per_gpu",
    merge=Merge.MAX,
)  # fmt: skip
WRITE_BYTES = _counter(
    "estimated_write_bytes_per_gpu", "Bytes written to memory per GPU, estimated", "estimated_write_bytes_per_gpu",
    merge=Merge.MAX,
)  # fmt: skip
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
REQUEST_MAX_GENERATION = _sizes(
    "request_max_generation_tokens",
    "Maximum number of tokens to generate for a request",
    "request_max_num_generation_tokens",
)
REQUEST_PREFILL = _sizes(
    "request_prefill_kv_computed_tokens",
    "Tokens of a request whose KV entries were computed during prefill, excluding cached ones",
    "request_prefill_kv_computed_tokens",
)
PARAMETER_N = _sizes("request_params_n", "Parameter n of a request", "request_params_n")
PARAMETER_MAX_TOKENS = _sizes("request_params_max_tokens", "Parameter max_tokens of a request", "request_params_max_tokens")
ITERATION = _sizes("iteration_tokens", "Tokens processed per engine step", "iteration_tokens_total")
REQUEST_PREEMPTIONS = _sizes("request_preemptions", "Preemptions of a request", "request_num_preemptions")

MAPPINGS: Final = (
    RUNNING, WAITING, WAITING_BY_REASON, SWAPPED, KV_CACHE, SLEEP, HEALTHY, PROMPT_TOKENS, CACHED_TOKENS,
    CACHED_TOKENS_BY_SOURCE, TOKENS_BY_SOURCE, GENERATION_TOKENS, FINISHED, PREEMPTIONS, CORRUPTED, REJECTIONS,
    PREFIX_QUERIES, PREFIX_HITS, EXTERNAL_QUERIES, EXTERNAL_HITS, MULTIMODAL_QUERIES, MULTIMODAL_HITS, DRAFTS,
    DRAFT_TOKENS, ACCEPTED_TOKENS, FLOPS, READ_BYTES, WRITE_BYTES, TIME_TO_FIRST_TOKEN, INTER_TOKEN, TIME_PER_TOKEN,
    DURATION, QUEUE_TIME, INFERENCE_TIME, PREFILL_TIME, DECODE_TIME, REQUEST_PROMPT, REQUEST_GENERATION,
    REQUEST_MAX_GENERATION, REQUEST_PREFILL, PARAMETER_N, PARAMETER_MAX_TOKENS, ITERATION, REQUEST_PREEMPTIONS,
)  # fmt: skip
