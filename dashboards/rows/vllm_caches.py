"""Row about vLLM's caches and request sizes, and queries shared by vLLM panels."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import QUIET, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, PrometheusTarget, selector, variable
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.sources.vllm import mappings, page

ENGINE: Final = ("server", "model", "engine")
SHARES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def at(mapping: mappings.MetricMapping, **matchers: str | Matcher) -> Series:
    """Series of the selected servers and models."""
    return selector(mapping.metric, server=variable("server"), model=variable("model"), **matchers)


def of_server(metric: Metric, **matchers: str | Matcher) -> Series:
    """Series of the selected servers, without the label model."""
    return selector(metric, server=variable("server"), **matchers)


def rate(mapping: mappings.MetricMapping, legend: str, *labels: str) -> PrometheusTarget:
    """Rate per second."""
    return PrometheusTarget(at(mapping).rate(RATE).sum(*labels), legend)


def quantile(mapping: mappings.MetricMapping, legend: str, share: float = 0.95, window: str = RATE) -> PrometheusTarget:
    """A quantile over all selected engines."""
    return PrometheusTarget(at(mapping).quantile(share, window=window), legend)


def share(part: mappings.MetricMapping, whole: mappings.MetricMapping, legend: str) -> PrometheusTarget:
    """Ratio of two counters, 0 to 1; no data without traffic."""
    return PrometheusTarget(at(part).rate(RATE).sum().share_of(at(whole).rate(RATE).sum()), legend)


FULL: Final = Threshold(thresholds.KV_CACHE_FULL_RATIO, WARN)
MISSING: Final = of_server(page.MISSING).max("server", "metric").equals(1)
"""Missing metrics, one series each."""

CACHES: Final = Row(
    "Caches and sizes",
    [
        graph(
            "KV cache",
            "KV cache usage by engine (vllm_kv_cache_usage_ratio); line: alert threshold.",
            PrometheusTarget(at(mappings.KV_CACHE).max(*ENGINE), "{{model}} on {{server}}, engine {{engine}}"),
            unit="percentunit",
            limits=[FULL],
            maximum=1,
        ),
        graph(
            "Cache hit ratios",
            "Share of looked-up tokens found in the prefix cache (own or of another instance), of prompt tokens from a "
            "cache, of cached multimodal items, and of accepted draft tokens (vllm_*_cache_hits_total / …_queries_total, "
            "vllm_prompt_tokens_cached_total, vllm_speculative_*).",
            share(mappings.PREFIX_HITS, mappings.PREFIX_QUERIES, "prefix cache"),
            share(mappings.EXTERNAL_HITS, mappings.EXTERNAL_QUERIES, "another instance's prefix cache"),
            share(mappings.CACHED_TOKENS, mappings.PROMPT_TOKENS, "prompt tokens from a cache"),
            share(mappings.MULTIMODAL_HITS, mappings.MULTIMODAL_QUERIES, "multimodal cache"),
            share(mappings.ACCEPTED_TOKENS, mappings.DRAFT_TOKENS, "drafts accepted"),
            unit="percentunit",
            maximum=1,
        ),
        graph(
            "Tokens per request",
            "Prompt and generated tokens per request (vllm_request_prompt_tokens, vllm_request_generation_tokens), and "
            "tokens per engine step (vllm_iteration_tokens), p50 and p95; tokens computed in prefill, without cached ones "
            "(vllm_request_prefill_kv_computed_tokens).",
            quantile(mappings.REQUEST_PROMPT, "prompt, p50", 0.5),
            quantile(mappings.REQUEST_PROMPT, "prompt, p95"),
            quantile(mappings.REQUEST_PREFILL, "computed in prefill, p95"),
            quantile(mappings.REQUEST_GENERATION, "generated, p50", 0.5),
            quantile(mappings.REQUEST_GENERATION, "generated, p95"),
            quantile(mappings.ITERATION, "step, p95"),
            unit="locale",
        ),
        table(
            "Missing metrics",
            "Metrics that a server does not export, so that panels have no data: this vLLM version lacks them or names "
            "them differently, or the feature is off (vllm_metric_missing).",
            ["server", "metric"],
            [(FieldOverride("missing", states={"1": ("missing", QUIET)}), PrometheusTarget(MISSING))],
            key_columns=[FieldOverride("server", links=[Link("Exporter", DashboardUid.EXPORTER, {"server": "server"})])],
            sort="server",
            descending=False,
            width=24,
            height=7,
        ),
    ],
    collapsed=True,
)
