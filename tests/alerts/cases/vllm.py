"""vLLM."""

from __future__ import annotations

from tests.alerts.case import case, unread
from tests.alerts.firing import Given

_AT = 'server="s:8000",model="m",engine="0"'


def _durations(quick: float, number: float) -> Given:
    """Requests per minute; some take at most five seconds, the others at most ten."""
    bucket = f"vllm_request_duration_seconds_bucket{{{_AT},le="
    return {
        f'{bucket}"5.0"}}': f"0+{quick}x120",
        f'{bucket}"10.0"}}': f"0+{number}x120",
        f'{bucket}"+Inf"}}': f"0+{number}x120",
        f"vllm_request_duration_seconds_count{{{_AT}}}": f"0+{number}x120",
    }


CASES = {
    "VllmDown": unread("vllm"),
    "VllmEngineUnhealthy": case({f"vllm_engine_healthy{{{_AT}}}": "0x120"}, {f"vllm_engine_healthy{{{_AT}}}": "1x120"}),
    "VllmSlow": case(
        _durations(949, 1000),
        _durations(950, 1000),
        enough=_durations(0, 3.05),
        too_few=_durations(0, 2.95),
    ),
    "VllmQueueGrowing": case(
        {f"vllm_requests_waiting{{{_AT}}}": "5+0.0001x120"},
        {f"vllm_requests_waiting{{{_AT}}}": "5x120"},
        fewer={f"vllm_requests_waiting{{{_AT}}}": "4+0.0001x120"},
        short={f"vllm_requests_waiting{{{_AT}}}": "0x110 0+1x10"},
    ),
    "VllmKvCacheFull": case(
        {f"vllm_kv_cache_usage_ratio{{{_AT}}}": "0.95x120"},
        {f"vllm_kv_cache_usage_ratio{{{_AT}}}": "0.94x120"},
        now_and_then={f"vllm_kv_cache_usage_ratio{{{_AT}}}": " ".join(["1 0.5"] * 60)},
    ),
    "VllmPreempting": case(
        {f"vllm_preemptions_total{{{_AT}}}": "0+6.1x120"}, {f"vllm_preemptions_total{{{_AT}}}": "0+5.9x120"}
    ),
    "VllmRequestsFailing": case(
        {
            f'vllm_requests_finished_total{{{_AT},finished_reason="error"}}': "0+101x120",
            f'vllm_requests_finished_total{{{_AT},finished_reason="stop"}}': "0+899x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+100x120",
        },
        {
            f'vllm_requests_finished_total{{{_AT},finished_reason="error"}}': "0+99x120",
            f'vllm_requests_finished_total{{{_AT},finished_reason="stop"}}': "0+901x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+100x120",
        },
        too_few={
            f'vllm_requests_finished_total{{{_AT},finished_reason="abort"}}': "0+2.95x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+2.95x120",
        },
    ),
    "VllmHttpErrors": case(
        {
            'vllm_http_requests_total{server="s",handler="h",method="POST",status="5xx"}': "0+51x120",
            'vllm_http_requests_total{server="s",handler="h",method="POST",status="2xx"}': "0+949x120",
        },
        {
            'vllm_http_requests_total{server="s",handler="h",method="POST",status="5xx"}': "0+49x120",
            'vllm_http_requests_total{server="s",handler="h",method="POST",status="2xx"}': "0+951x120",
        },
        too_few={'vllm_http_requests_total{server="s",handler="h",method="POST",status="5xx"}': "0+2x120"},
    ),
}
