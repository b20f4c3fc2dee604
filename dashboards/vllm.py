"""vLLM: are requests answered in time, what do they wait for, and is there room for more?"""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, UP_DOWN, WARN, YES_NO, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, graph, heatmap, stat, table
from dashboards.grafana.queries import RATE, Line, chosen, shown
from dashboards.rows import vllm_caches
from dashboards.rows.common import alert_marks, source_health
from dashboards.rows.vllm_caches import ENGINE, FULL, MISSING, SHARES, at, of_server, quantile, rate
from exporter import scrape
from exporter.metrics.promql import like
from exporter.sources.vllm import concepts, page

_CONFIGURED = ("block_size", "cache_dtype", "gpu_memory_utilization", "num_gpu_blocks")


def _spread(title: str, what: str, concept: concepts.Concept) -> Panel:
    buckets = at(concept).bucket_rate(RATE).sum("le")
    description = f"Requests a second by {what}: the darker a cell, the more of them ({concept.metric.name}_bucket)."
    return heatmap(title, description, Line(buckets, "{{le}}"), unit="s", width=12)


_requests = at(concepts.DURATION).part("_count")
_finished = at(concepts.FINISHED).rate(RATE).sum()
# A server that never failed has no series of failures: that is 0, and not no data.
_failed = at(concepts.FINISHED, finished_reason=like("error|abort")).rate(RATE).sum() | _finished * 0
_server_errors = of_server(page.HTTP_REQUESTS, status="5xx").rate(RATE).sum("server")
_answers = of_server(page.HTTP_REQUESTS).rate(RATE).sum("server")
_slow = Limit(thresholds.LATENCY_SECONDS, WARN)
_queue = Limit(thresholds.VLLM_WAITING, WARN)

FAILING: Final = Line(_failed.share_of(_finished))
"""The share of requests that end with an error or are broken off."""

DASHBOARD = Dashboard(
    view=View.VLLM,
    title="vLLM",
    description="Whether requests to vLLM are answered in time, what they wait for, and whether there is room for more.",
    variables=[
        variables.of(
            "server", "server", "Server", "vLLM servers, those that are down too.", shown(scrape.UP, source="vllm")
        ),
        variables.of(
            "model",
            "model",
            "Model",
            "Models that these servers serve.",
            shown(concepts.RUNNING.metric, server=chosen("server")),
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
                    "Requests finished a minute (vllm_request_duration_seconds_count); 0 is a server that nobody asks.",
                    Line(_requests.rate(RATE).sum() * 60),
                    unit="cpm",
                    width=3,
                    sparkline=True,
                ),
                stat(
                    "Latency, p95",
                    "95th percentile of the time of a request (vllm_request_duration_seconds); no data without requests. "
                    "The alert VllmSlow compares that of ten minutes, of each model on each server, with the same limit.",
                    quantile(concepts.DURATION, ""),
                    unit="s",
                    width=3,
                    limits=[_slow],
                    sparkline=True,
                ),
                stat(
                    "First token, p95",
                    "95th percentile of the time to the first token (vllm_time_to_first_token_seconds).",
                    quantile(concepts.TIME_TO_FIRST_TOKEN, ""),
                    unit="s",
                    width=3,
                    sparkline=True,
                ),
                stat(
                    "Waiting",
                    "Requests that wait for a place, of all engines (vllm_requests_waiting); in colour from as many as the "
                    "alert VllmQueueGrowing bears of one engine.",
                    Line(at(concepts.WAITING).sum()),
                    width=3,
                    limits=[_queue],
                    sparkline=True,
                    decimals=0,
                ),
                stat(
                    "KV cache",
                    "Share of the KV cache in use, of the fullest engine (vllm_kv_cache_usage_ratio).",
                    Line(at(concepts.KV_CACHE).max()),
                    unit="percentunit",
                    width=3,
                    limits=[FULL],
                    sparkline=True,
                ),
                stat(
                    "Requests that fail",
                    "Share of the requests that end with the reason error or abort (vllm_requests_finished_total); no data "
                    "without requests.",
                    FAILING,
                    unit="percentunit",
                    width=3,
                    limits=[Limit(thresholds.VLLM_FAILURE_RATIO, BAD)],
                ),
                graph(
                    "Latency of requests",
                    "Time of a request from arrival to end (vllm_request_duration_seconds), by percentile; the line is the "
                    "limit of the alert VllmSlow.",
                    *(quantile(concepts.DURATION, name, share) for share, name in SHARES),
                    unit="s",
                    limits=[_slow],
                ),
                graph(
                    "Queue",
                    "Requests in execution and waiting, over all engines (vllm_requests_running, vllm_requests_waiting, "
                    "vllm_requests_swapped); the line is where the alert VllmQueueGrowing begins to look at one engine.",
                    Line(at(concepts.RUNNING).sum(), "running"),
                    Line(at(concepts.WAITING).sum(), "waiting"),
                    Line(at(concepts.WAITING_BY_REASON).sum("reason"), "waiting for {{reason}}"),
                    Line(at(concepts.SWAPPED).sum(), "swapped out"),
                    unit="short",
                    limits=[_queue],
                    columns=[Column("running", colour=ACCENT), Column("waiting", colour=WARN)],
                ),
                graph(
                    "Tokens",
                    "Tokens a second: of prompts, in all and by where they came from, and generated "
                    "(vllm_prompt_tokens_total, vllm_prompt_tokens_by_source_total, vllm_generation_tokens_total).",
                    rate(concepts.PROMPT_TOKENS, "prompts"),
                    rate(concepts.TOKENS_BY_SOURCE, "prompts from {{origin}}", "origin"),
                    rate(concepts.GENERATION_TOKENS, "generated"),
                    unit="cps",
                    columns=[Column("generated", colour=OK)],
                ),
            ],
        ),
        Row(
            "Latency",
            [
                _spread("Time of a request", "their time from arrival to end", concepts.DURATION),
                _spread("Time to the first token", "their time to the first token", concepts.TIME_TO_FIRST_TOKEN),
                graph(
                    "Where the time goes, p95",
                    "95th percentile of each part of a request (vllm_request_queue_time_seconds, …_prefill_time_seconds, "
                    "…_decode_time_seconds, …_inference_time_seconds, vllm_time_to_first_token_seconds), and of the HTTP "
                    "requests around them where the server tells it (vllm_http_request_duration_seconds).",
                    quantile(concepts.QUEUE_TIME, "waiting"),
                    quantile(concepts.TIME_TO_FIRST_TOKEN, "first token"),
                    quantile(concepts.PREFILL_TIME, "prefill"),
                    quantile(concepts.DECODE_TIME, "decoding"),
                    quantile(concepts.INFERENCE_TIME, "execution"),
                    Line(of_server(page.HTTP_DURATION).quantile(0.95, window=RATE), "HTTP"),
                    unit="s",
                ),
                graph(
                    "Time between tokens",
                    "Time between two tokens by percentile (vllm_inter_token_latency_seconds), and the mean time a token of "
                    "a request (vllm_request_time_per_output_token_seconds).",
                    *(quantile(concepts.INTER_TOKEN, name, share) for share, name in SHARES),
                    quantile(concepts.TIME_PER_TOKEN, "mean of a request, p95"),
                    unit="s",
                ),
                graph(
                    "Latency by model, p95",
                    "95th percentile of the time of a request by server and model (vllm_request_duration_seconds).",
                    Line(at(concepts.DURATION).quantile(0.95, "server", "model", window=RATE), "{{model}} on {{server}}"),
                    unit="s",
                    limits=[_slow],
                    links=[Link("Agents", View.AGENTS)],
                ),
            ],
        ),
        Row(
            "Ends and errors",
            [
                graph(
                    "Ends of requests",
                    "Requests finished a second by reason (vllm_requests_finished_total).",
                    rate(concepts.FINISHED, "{{finished_reason}}", "finished_reason"),
                    unit="reqps",
                    stacked=True,
                    columns=[
                        Column("stop", colour=OK),
                        Column("length", colour=ACCENT),
                        Column("error", colour=BAD),
                        Column("abort", colour=WARN),
                    ],
                ),
                graph(
                    "Answers with server errors",
                    "Share of a server's HTTP answers that are of status 5xx (vllm_http_requests_total); no line where it "
                    "was asked nothing.",
                    Line((_server_errors | _answers * 0).share_of(_answers), "{{server}}"),
                    unit="percentunit",
                    limits=[Limit(thresholds.VLLM_HTTP_ERROR_RATIO, BAD)],
                ),
                graph(
                    "Preempted, refused, corrupted",
                    "Requests a second that were pushed out of execution, refused by a queue limit, or had NaN in their "
                    "logits (vllm_preemptions_total, vllm_admission_rejections_total, vllm_corrupted_requests_total); the "
                    "line is the limit on preemptions.",
                    rate(concepts.PREEMPTIONS, "preempted"),
                    rate(concepts.REJECTIONS, "refused: {{reason}}", "reason"),
                    rate(concepts.CORRUPTED, "corrupted"),
                    unit="reqps",
                    limits=[Limit(thresholds.PREEMPTIONS_A_SECOND, WARN)],
                    columns=[Column("corrupted", colour=BAD)],
                ),
            ],
        ),
        Row(
            "Servers and engines",
            [
                table(
                    "Engines",
                    "Each engine as it is now: whether it says that it is well and awake, and how full it is.",
                    ENGINE,
                    [
                        (Column("running", decimals=0), Line(at(concepts.RUNNING).max(*ENGINE))),
                        (Column("waiting", decimals=0, limits=[_queue]), Line(at(concepts.WAITING).max(*ENGINE))),
                        (
                            Column("KV cache", unit="percentunit", limits=[FULL], bar=True),
                            Line(at(concepts.KV_CACHE).max(*ENGINE)),
                        ),
                        (Column("healthy", states=YES_NO), Line(at(concepts.HEALTHY).min(*ENGINE))),
                        (
                            Column("awake", states={"1": ("awake", OK), "0": ("asleep", QUIET)}),
                            Line(at(concepts.SLEEP, state="awake").max(*ENGINE)),
                        ),
                    ],
                    key_columns=[Column("model", links=[Link("Agents", View.AGENTS)])],
                    width=14,
                ),
                table(
                    "Servers",
                    "Each server: whether it can be read, how its KV cache is set up (vllm_cache_config_info), and how many "
                    "figures it does not tell (vllm_concept_missing).",
                    ["server"],
                    [
                        (Column("read", states=UP_DOWN), Line(of_server(scrape.UP, source="vllm").min("server"))),
                        (Column("not told", decimals=0), Line(MISSING.count("server"))),
                        (
                            Column("set up", hidden=True),
                            Line(of_server(page.CACHE_CONFIG).max("server", *_CONFIGURED)),
                        ),
                    ],
                    labels={
                        "block_size": "block size",
                        "cache_dtype": "cache type",
                        "gpu_memory_utilization": "GPU memory",
                        "num_gpu_blocks": "blocks",
                    },
                    key_columns=[Column("server", links=[Link("Why", View.EXPORTER, {"server": "server"})])],
                    width=10,
                ),
            ],
        ),
        vllm_caches.CACHES,
    ],
)
