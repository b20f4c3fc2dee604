"""vLLM: latency, queues, KV cache and failures."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from alerts.rule import COUNT, AlertingRule, Component, RecordingRule, Severity
from alerts.rules import sources
from alerts.shares import requests
from alerts.thresholds import (
    KV_CACHE_FULL_RATIO,
    LATENCY_SECONDS,
    PREEMPTIONS_A_SECOND,
    VLLM_FAILURE_RATIO,
    VLLM_HTTP_ERROR_RATIO,
    VLLM_REQUESTS_A_SECOND,
    VLLM_WAITING,
)
from exporter.metrics.promql import series
from exporter.sources.vllm import mappings as vllm
from exporter.sources.vllm import page

_MODEL = ("server", "model")
_WHICH = "{{ $labels.model }} on {{ $labels.server }}"
_REPLICAS = ("engine", "replica")
_BY_REASON = (*_REPLICAS, "finished_reason")
_BY_REQUEST = ("handler", "method", "status")

_FAILED, _FINISHED = requests(lambda mapping, **matchers: series(mapping.metric, **matchers))
REQUESTS: Final = RecordingRule(
    name="fleet:vllm_requests:rate10m",
    query=series(vllm.DURATION.metric).part("_count").rate("10m").without("sum", *_REPLICAS),
    meaning="Finished requests per second by server and model.",
)
P95: Final = RecordingRule(
    name="fleet:vllm_request_duration_seconds:p95_10m",
    query=series(vllm.DURATION.metric).bucket_rate("10m").without("sum", *_REPLICAS).histogram_quantile(0.95),
    meaning="p95 request duration by server and model.",
)
FAILED_SHARE: Final = RecordingRule(
    name="fleet:vllm_requests_failed:ratio10m",
    query=_FAILED.rate("10m").without("sum", *_BY_REASON).share_of(_FINISHED.rate("10m").without("sum", *_BY_REASON)),
    meaning="Share of finished requests that ended in an error or were aborted.",
)
HTTP_ERROR_SHARE: Final = RecordingRule(
    name="fleet:vllm_http_errors:ratio10m",
    query=series(page.HTTP_REQUESTS, status="5xx").rate("10m").without("sum", *_BY_REQUEST).share_of(
        series(page.HTTP_REQUESTS).rate("10m").without("sum", *_BY_REQUEST)
    ),
    meaning="Share of a server's HTTP responses with status 5xx.",
)  # fmt: skip
RECORDINGS: Final = (REQUESTS, P95, FAILED_SHARE, HTTP_ERROR_SHARE)

_ENOUGH = REQUESTS.series > VLLM_REQUESTS_A_SECOND
_WAITING = series(vllm.WAITING.metric)

RULES: Final[tuple[AlertingRule, ...]] = (
    sources.down(
        "VllmDown",
        "vllm",
        Component.VLLM,
        "vLLM is unreachable",
        DashboardUid.VLLM,
        variables=("server",),
        catches="An OOM-killed vLLM pod; without the alert, agents time out one by one.",
    ),
    AlertingRule(
        name="VllmEngineUnhealthy",
        query=series(vllm.HEALTHY.metric).max_over("2m").equals(0),
        severity=Severity.CRITICAL,
        component=Component.VLLM,
        summary="vLLM engine is unhealthy",
        catches="An engine that died in a server whose HTTP port still responds.",
        description=f"Engine {{{{ $labels.engine }}}} of {_WHICH} reports that it is unhealthy.",
        view=DashboardUid.VLLM,
        variables=_MODEL,
        for_="1m",
    ),
    AlertingRule(
        name="VllmSlow",
        query=(P95.series > LATENCY_SECONDS) & _ENOUGH,
        severity=Severity.WARNING,
        component=Component.VLLM,
        summary="vLLM request latency is high",
        catches="A model that responds in tens of seconds because of long prompts or a slow GPU; agents do not fail yet.",
        description=f"{_WHICH} has a p95 request duration of {{{{ $value | humanizeDuration }}}}.",
        view=DashboardUid.VLLM,
        variables=_MODEL,
        limits=("LATENCY_SECONDS", "VLLM_REQUESTS_A_SECOND"),
        for_="5m",
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="VllmQueueGrowing",
        query=(_WAITING.min_over("10m") >= VLLM_WAITING) & (_WAITING.slope("10m") > 0),
        severity=Severity.WARNING,
        component=Component.VLLM,
        summary="vLLM request queue is growing",
        catches="More requests than the engines can take, minutes before agents time out.",
        description=f"Engine {{{{ $labels.engine }}}} of {_WHICH} has had at least {COUNT} waiting requests for 10 "
        "minutes, and the queue is growing.",
        view=DashboardUid.VLLM,
        variables=_MODEL,
        limits=("VLLM_WAITING",),
        for_="5m",
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="VllmKvCacheFull",
        # The minimum: a cache that is full for a moment is normal.
        query=series(vllm.KV_CACHE.metric).min_over("5m") >= KV_CACHE_FULL_RATIO,
        severity=Severity.WARNING,
        component=Component.VLLM,
        summary="vLLM KV cache is full",
        catches="A max_model_len or a number of sequences too large for the GPU's memory, before requests are preempted.",
        description=f"Engine {{{{ $labels.engine }}}} of {_WHICH} has used at least {{{{ $value | humanizePercentage }}}} "
        "of its KV cache for 5 minutes.",
        view=DashboardUid.VLLM,
        variables=_MODEL,
        limits=("KV_CACHE_FULL_RATIO",),
        for_="5m",
    ),
    AlertingRule(
        name="VllmPreempting",
        query=series(vllm.PREEMPTIONS.metric).rate("10m").without("sum", *_REPLICAS) > PREEMPTIONS_A_SECOND,
        severity=Severity.WARNING,
        component=Component.VLLM,
        summary="vLLM is preempting requests",
        catches="Requests that are computed twice because the KV cache is too small; throughput falls without an error.",
        description=f"{_WHICH} preempts {{{{ $value | humanize }}}} requests per second because the KV cache is full.",
        view=DashboardUid.VLLM,
        variables=_MODEL,
        limits=("PREEMPTIONS_A_SECOND",),
        for_="5m",
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="VllmRequestsFailing",
        query=(FAILED_SHARE.series > VLLM_FAILURE_RATIO) & _ENOUGH,
        severity=Severity.WARNING,
        component=Component.VLLM,
        summary="vLLM requests are failing",
        catches="Clients that give up (abort) or an engine that returns errors for some requests.",
        description=f"{_WHICH} finished {{{{ $value | humanizePercentage }}}} of its requests with reason error or abort.",
        view=DashboardUid.VLLM,
        variables=_MODEL,
        limits=("VLLM_FAILURE_RATIO", "VLLM_REQUESTS_A_SECOND"),
        for_="5m",
        keep_firing_for="5m",
    ),
    AlertingRule(
        name="VllmHttpErrors",
        query=(HTTP_ERROR_SHARE.series > VLLM_HTTP_ERROR_RATIO)
        & (series(page.HTTP_REQUESTS).rate("10m").without("sum", *_BY_REQUEST) > VLLM_REQUESTS_A_SECOND),
        severity=Severity.CRITICAL,
        component=Component.VLLM,
        summary="vLLM returns HTTP 5xx",
        catches="A server that fails requests before they reach the engine, which the engine's own counters do not show.",
        description="{{ $labels.server }} returns status 5xx for {{ $value | humanizePercentage }} of its HTTP requests.",
        view=DashboardUid.VLLM,
        variables=("server",),
        limits=("VLLM_HTTP_ERROR_RATIO", "VLLM_REQUESTS_A_SECOND"),
        for_="5m",
        keep_firing_for="5m",
    ),
)
