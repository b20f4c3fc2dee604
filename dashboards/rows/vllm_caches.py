"""The row about vLLM's caches and the sizes of requests, and how vLLM's metrics are asked for."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.view import View
from dashboards.grafana.fields import QUIET, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, Line, chosen, shown
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.sources.vllm import concepts, page

ENGINE: Final = ("server", "model", "engine")
SHARES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def at(concept: concepts.Concept, **matchers: str | Matcher) -> Series:
    """What the servers and models that are chosen tell."""
    return shown(concept.metric, server=chosen("server"), model=chosen("model"), **matchers)


def of_server(metric: Metric, **matchers: str | Matcher) -> Series:
    """What a server tells of itself, without a model."""
    return shown(metric, server=chosen("server"), **matchers)


def rate(concept: concepts.Concept, legend: str, *labels: str) -> Line:
    """How often, or how many, a second."""
    return Line(at(concept).rate(RATE).sum(*labels), legend)


def quantile(concept: concepts.Concept, legend: str, share: float = 0.95) -> Line:
    """A percentile over all engines that are chosen."""
    return Line(at(concept).quantile(share, window=RATE), legend)


def share(part: concepts.Concept, whole: concepts.Concept, legend: str) -> Line:
    """One counter over another, from 0 to 1; nothing where the other rests."""
    return Line(at(part).rate(RATE).sum().share_of(at(whole).rate(RATE).sum()), legend)


FULL: Final = Limit(thresholds.KV_CACHE_FULL_RATIO, WARN)
MISSING: Final = of_server(page.MISSING).max("server", "concept").equals(1)
"""What a server does not tell, a series each."""

CACHES: Final = Row(
    "Caches and sizes",
    [
        graph(
            "KV cache",
            "Share of the KV cache in use by engine (vllm_kv_cache_usage_ratio); the line is the alert's limit.",
            Line(at(concepts.KV_CACHE).max(*ENGINE), "{{model}} on {{server}}, engine {{engine}}"),
            unit="percentunit",
            limits=[FULL],
            maximum=1,
        ),
        graph(
            "Work that is saved",
            "Share of the tokens looked up that the prefix cache or another instance had; of prompt tokens "
            "that came from a cache; of multimodal items that were cached; of drafted tokens that were accepted "
            "(vllm_*_cache_hits_total over …_queries_total, vllm_prompt_tokens_cached_total, vllm_speculative_*).",
            share(concepts.PREFIX_HITS, concepts.PREFIX_QUERIES, "prefix cache"),
            share(concepts.EXTERNAL_HITS, concepts.EXTERNAL_QUERIES, "another instance's prefix cache"),
            share(concepts.CACHED_TOKENS, concepts.PROMPT_TOKENS, "prompt tokens from a cache"),
            share(concepts.MULTIMODAL_HITS, concepts.MULTIMODAL_QUERIES, "multimodal cache"),
            share(concepts.ACCEPTED_TOKENS, concepts.DRAFT_TOKENS, "drafts accepted"),
            unit="percentunit",
            maximum=1,
        ),
        graph(
            "Sizes of requests",
            "Median and 95th percentile of the tokens of a request (vllm_request_prompt_tokens, "
            "vllm_request_generation_tokens), and of an engine's step (vllm_iteration_tokens).",
            quantile(concepts.REQUEST_PROMPT, "prompt, p50", 0.5),
            quantile(concepts.REQUEST_PROMPT, "prompt, p95"),
            quantile(concepts.REQUEST_GENERATION, "answer, p50", 0.5),
            quantile(concepts.REQUEST_GENERATION, "answer, p95"),
            quantile(concepts.ITERATION, "step, p95"),
            unit="short",
        ),
        table(
            "Not told",
            "What a server does not tell, so that its panels have no data: another version of vLLM calls it "
            "otherwise or lacks it, or the feature is off (vllm_concept_missing).",
            ["server", "concept"],
            [(Column("missing", states={"1": ("not told", QUIET)}), Line(MISSING))],
            key_columns=[Column("server", links=[Link("Why", View.EXPORTER, {"server": "server"})])],
            width=24,
            height=7,
        ),
    ],
    collapsed=True,
)
