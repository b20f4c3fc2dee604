"""Dashboard "vLLM": latency, queue, errors and capacity of vLLM servers."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.shares import requests
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, UP_DOWN, WARN, YES_NO, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, graph, heatmap, stat, table
from dashboards.grafana.queries import NOW, RATE, PrometheusTarget, selector, variable
from dashboards.rows import vllm_caches
from dashboards.rows.common import alert_marks, source_health
from dashboards.rows.vllm_caches import ENGINE, FULL, MISSING, SHARES, at, of_server, quantile, rate
from exporter.metrics.promql import Query
from exporter.scrape import state as scrape
from exporter.sources.vllm import mappings, page

_CONFIGURED = ("block_size", "cache_dtype", "gpu_memory_utilization", "num_gpu_blocks")


def _spread(title: str, what: str, mapping: mappings.MetricMapping) -> Panel:
    buckets = at(mapping).bucket_rate(RATE).sum("le")
    description = f"Requests per second by {what}; darker cells have more requests ({mapping.metric.name}_bucket)."
    return heatmap(title, description, PrometheusTarget(buckets, "{{le}}"), unit="s", width=12)


def _by_engine(mapping: mappings.MetricMapping) -> Query:
    """The sum over the replicas of each engine; of two exporters that read the same server, one counts."""
    return at(mapping).max(*ENGINE, "replica").sum(*ENGINE)


_requests = at(mappings.DURATION).part("_count")
_failed, _finished = (one.rate("10m").sum() for one in requests(at))
_server_errors = of_server(page.HTTP_REQUESTS, status="5xx").rate(RATE).sum("server")
_responses = of_server(page.HTTP_REQUESTS).rate(RATE).sum("server")
_slow = Threshold(thresholds.LATENCY_SECONDS, WARN)
_queue = Threshold(thresholds.VLLM_WAITING, WARN)

# A server without failures has no failure series: 0, not "no data".
FAILING: Final = PrometheusTarget((_failed | _finished * 0).share_of(_finished))
"""Share of requests that end with reason error or abort, over the window of VllmRequestsFailing."""

DASHBOARD = Dashboard(
    view=DashboardUid.VLLM,
    title="vLLM",
    description="Are requests served in time, what do they wait for, and is there capacity?",
    variables=[
        variables.of(
            "server", "server", "Server", "vLLM servers, including those that are down.", selector(scrape.UP, source="vllm")
        ),
        variables.of(
            "model",
            "model",
            "Model",
            "Models of these servers.",
            selector(mappings.RUNNING.metric, server=variable("server")),
        ),
    ],
    annotations=[alert_marks("vllm")],
    rows=[
        Row(
            "",
            [
                *source_health("vllm", "vLLM", width=3),
                stat(
                    "Requests",
                    "Finished requests per minute (vllm_request_duration_seconds_count); 0 if the servers receive no "
                    "requests.",
                    PrometheusTarget(_requests.rate(NOW).sum() * 60),
                    unit="reqpm",
                    width=3,
                ),
                stat(
                    "Latency p95",
                    "p95 of the request duration (vllm_request_duration_seconds); no data without requests. Color: "
                    "threshold of VllmSlow, which evaluates ten minutes per server and model.",
                    quantile(mappings.DURATION, "", window=NOW),
                    unit="s",
                    width=3,
                    limits=[_slow],
                ),
                stat(
                    "TTFT p95",
                    "p95 of the time to first token (vllm_time_to_first_token_seconds); no data without requests.",
                    quantile(mappings.TIME_TO_FIRST_TOKEN, "", window=NOW),
                    unit="s",
                    width=3,
                ),
                stat(
                    "Waiting",
                    "Waiting requests on all engines (vllm_requests_waiting). Color: threshold of VllmQueueGrowing, which "
                    "applies to one engine.",
                    PrometheusTarget(at(mappings.WAITING).sum()),
                    width=3,
                    limits=[_queue],
                    decimals=0,
                ),
                stat(
                    "KV cache",
                    "KV cache usage of the fullest engine (vllm_kv_cache_usage_ratio).",
                    PrometheusTarget(at(mappings.KV_CACHE).max()),
                    unit="percentunit",
                    width=3,
                    limits=[FULL],
                ),
                stat(
                    "Failed",
                    "Share of requests in the last 10 minutes that ended with reason error or abort "
                    "(vllm_requests_finished_total); no data without requests.",
                    FAILING,
                    unit="percentunit",
                    width=3,
                    limits=[Threshold(thresholds.VLLM_FAILURE_RATIO, BAD)],
                ),
                graph(
                    "Request duration",
                    "Time from arrival to completion, p50 and p95 (vllm_request_duration_seconds); line: threshold of "
                    "VllmSlow.",
                    *(quantile(mappings.DURATION, name, share) for share, name in SHARES),
                    unit="s",
                    limits=[_slow],
                ),
                graph(
                    "Queue",
                    "Running and waiting requests on all engines (vllm_requests_running, vllm_requests_waiting, "
                    "vllm_requests_swapped); line: threshold of VllmQueueGrowing, which applies to one engine.",
                    PrometheusTarget(at(mappings.RUNNING).sum(), "running"),
                    PrometheusTarget(at(mappings.WAITING).sum(), "waiting"),
                    PrometheusTarget(at(mappings.WAITING_BY_REASON).sum("reason"), "waiting: {{reason}}"),
                    PrometheusTarget(at(mappings.SWAPPED).sum(), "swapped out"),
                    unit="locale",
                    limits=[_queue],
                    columns=[FieldOverride("running", color=ACCENT), FieldOverride("waiting", color=WARN)],
                ),
                graph(
                    "Tokens",
                    "Prompt tokens (total and by source) and generated tokens per second (vllm_prompt_tokens_total, "
                    "vllm_prompt_tokens_by_source_total, vllm_generation_tokens_total); cached prompt tokens by cache tier "
                    "(vllm_prompt_tokens_cached_by_source_total).",
                    rate(mappings.PROMPT_TOKENS, "prompts"),
                    rate(mappings.TOKENS_BY_SOURCE, "prompt tokens from {{origin}}", "origin"),
                    rate(mappings.CACHED_TOKENS_BY_SOURCE, "cached on {{origin}}", "origin"),
                    rate(mappings.GENERATION_TOKENS, "generated"),
                    unit="count:tok/s",
                    columns=[FieldOverride("generated", color=OK)],
                ),
            ],
        ),
        Row(
            "Latency",
            [
                _spread("Requests by duration", "time from arrival to completion", mappings.DURATION),
                _spread("Requests by time to first token", "time to first token", mappings.TIME_TO_FIRST_TOKEN),
                graph(
                    "Latency by phase (p95)",
                    "p95 of each phase of a request (vllm_request_queue_time_seconds, …_prefill_time_seconds, "
                    "…_decode_time_seconds, …_inference_time_seconds, vllm_time_to_first_token_seconds).",
                    quantile(mappings.QUEUE_TIME, "waiting"),
                    quantile(mappings.TIME_TO_FIRST_TOKEN, "first token"),
                    quantile(mappings.PREFILL_TIME, "prefill"),
                    quantile(mappings.DECODE_TIME, "decoding"),
                    quantile(mappings.INFERENCE_TIME, "execution"),
                    unit="s",
                ),
                graph(
                    "Inter-token latency",
                    "Time between two tokens, p50 and p95 (vllm_inter_token_latency_seconds), and p95 of a request's mean "
                    "time per output token (vllm_request_time_per_output_token_seconds).",
                    *(quantile(mappings.INTER_TOKEN, name, share) for share, name in SHARES),
                    quantile(mappings.TIME_PER_TOKEN, "request mean, p95"),
                    unit="s",
                ),
                graph(
                    "Latency by model (p95)",
                    "p95 of the request duration by server and model (vllm_request_duration_seconds); line: threshold of "
                    "VllmSlow.",
                    PrometheusTarget(
                        at(mappings.DURATION).quantile(0.95, "server", "model", window=RATE), "{{model}} on {{server}}"
                    ),
                    unit="s",
                    limits=[_slow],
                    links=[Link("Agents", DashboardUid.AGENTS)],
                ),
            ],
        ),
        Row(
            "Finish reasons and errors",
            [
                graph(
                    "Finish reasons",
                    "Finished requests per second by reason (vllm_requests_finished_total).",
                    rate(mappings.FINISHED, "{{finished_reason}}", "finished_reason"),
                    unit="reqps",
                    stacked=True,
                    columns=[
                        FieldOverride("stop", color=OK),
                        FieldOverride("length", color=ACCENT),
                        FieldOverride("error", color=BAD),
                        FieldOverride("abort", color=WARN),
                    ],
                ),
                graph(
                    "HTTP 5xx ratio",
                    "Share of HTTP responses with status 5xx by server (vllm_http_requests_total); no data without traffic.",
                    PrometheusTarget((_server_errors | _responses * 0).share_of(_responses), "{{server}}"),
                    unit="percentunit",
                    limits=[Threshold(thresholds.VLLM_HTTP_ERROR_RATIO, BAD)],
                ),
                graph(
                    "Preemptions and rejections",
                    "Requests per second that were preempted, rejected by a queue limit, or had NaN in their logits "
                    "(vllm_preemptions_total, vllm_admission_rejections_total, vllm_corrupted_requests_total); line: "
                    "threshold of VllmPreempting.",
                    rate(mappings.PREEMPTIONS, "preempted"),
                    rate(mappings.REJECTIONS, "rejected: {{reason}}", "reason"),
                    rate(mappings.CORRUPTED, "corrupted"),
                    unit="reqps",
                    limits=[Threshold(thresholds.PREEMPTIONS_A_SECOND, WARN)],
                    columns=[FieldOverride("corrupted", color=BAD)],
                ),
            ],
        ),
        Row(
            "Servers and engines",
            [
                table(
                    "Engines",
                    "Current state of each engine: requests, KV cache usage, health and sleep state.",
                    ENGINE,
                    [
                        (FieldOverride("running", decimals=0), PrometheusTarget(_by_engine(mappings.RUNNING))),
                        (
                            FieldOverride("waiting", decimals=0, limits=[_queue]),
                            PrometheusTarget(_by_engine(mappings.WAITING)),
                        ),
                        (
                            FieldOverride("KV cache", unit="percentunit", limits=[FULL], bar=True),
                            PrometheusTarget(at(mappings.KV_CACHE).max(*ENGINE)),
                        ),
                        (FieldOverride("healthy", states=YES_NO), PrometheusTarget(at(mappings.HEALTHY).min(*ENGINE))),
                        (
                            FieldOverride("awake", states={"1": ("awake", OK), "0": ("asleep", QUIET)}),
                            PrometheusTarget(at(mappings.SLEEP, state="awake").max(*ENGINE)),
                        ),
                    ],
                    key_columns=[FieldOverride("model", links=[Link("Agents", DashboardUid.AGENTS)])],
                    sort="waiting",
                    width=24,
                    height=8,
                ),
                table(
                    "Servers",
                    "Servers: state, KV cache configuration (vllm_cache_config_info), and number of missing metrics "
                    "(vllm_metric_missing).",
                    ["server"],
                    [
                        (
                            FieldOverride("read", states=UP_DOWN),
                            PrometheusTarget(of_server(scrape.UP, source="vllm").min("server")),
                        ),
                        (FieldOverride("missing metrics", decimals=0), PrometheusTarget(MISSING.count("server"))),
                        (
                            FieldOverride("configuration", hidden=True),
                            PrometheusTarget(of_server(page.CACHE_CONFIG).max("server", *_CONFIGURED)),
                        ),
                    ],
                    labels={
                        "block_size": "block size",
                        "cache_dtype": "cache type",
                        "gpu_memory_utilization": "GPU memory",
                        "num_gpu_blocks": "blocks",
                    },
                    key_columns=[FieldOverride("server", links=[Link("Why", DashboardUid.EXPORTER, {"server": "server"})])],
                    sort="read",
                    descending=False,
                    width=24,
                    height=8,
                ),
            ],
        ),
        vllm_caches.CACHES,
    ],
)
