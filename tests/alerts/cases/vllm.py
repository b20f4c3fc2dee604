"""vLLM."""

from __future__ import annotations

from tests.alerts.case import case, unread

_AT = 'server="s:8000",model="m",engine="0"'

CASES = {
    "VllmDown": unread("vllm"),
    "VllmEngineUnhealthy": case({f"vllm_engine_healthy{{{_AT}}}": "0x120"}, {f"vllm_engine_healthy{{{_AT}}}": "1x120"}),
    "VllmSlow": case(
        {
            f'vllm_request_duration_seconds_bucket{{{_AT},le="5.0"}}': "0+94x120",
            f'vllm_request_duration_seconds_bucket{{{_AT},le="10.0"}}': "0+100x120",
            f'vllm_request_duration_seconds_bucket{{{_AT},le="+Inf"}}': "0+100x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+100x120",
        },
        {
            f'vllm_request_duration_seconds_bucket{{{_AT},le="5.0"}}': "0+95x120",
            f'vllm_request_duration_seconds_bucket{{{_AT},le="10.0"}}': "0+100x120",
            f'vllm_request_duration_seconds_bucket{{{_AT},le="+Inf"}}': "0+100x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+100x120",
        },
        too_few={
            f'vllm_request_duration_seconds_bucket{{{_AT},le="5.0"}}': "0x120",
            f'vllm_request_duration_seconds_bucket{{{_AT},le="+Inf"}}': "0+2x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+2x120",
        },
    ),
    "VllmQueueGrowing": case(
        {f"vllm_requests_waiting{{{_AT}}}": "5+1x120"},
        {f"vllm_requests_waiting{{{_AT}}}": "5x120"},
        short={f"vllm_requests_waiting{{{_AT}}}": "0x110 0+1x10"},
    ),
    "VllmKvCacheFull": case(
        {f"vllm_kv_cache_usage_ratio{{{_AT}}}": "0.95x120"}, {f"vllm_kv_cache_usage_ratio{{{_AT}}}": "0.94x120"}
    ),
    "VllmPreempting": case(
        {f"vllm_preemptions_total{{{_AT}}}": "0+6.1x120"}, {f"vllm_preemptions_total{{{_AT}}}": "0+5.9x120"}
    ),
    "VllmRequestsFailing": case(
        {
            f'vllm_requests_finished_total{{{_AT},finished_reason="error"}}': "0+11x120",
            f'vllm_requests_finished_total{{{_AT},finished_reason="stop"}}': "0+89x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+100x120",
        },
        {
            f'vllm_requests_finished_total{{{_AT},finished_reason="error"}}': "0+9x120",
            f'vllm_requests_finished_total{{{_AT},finished_reason="stop"}}': "0+91x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+100x120",
        },
        too_few={
            f'vllm_requests_finished_total{{{_AT},finished_reason="abort"}}': "0+2x120",
            f"vllm_request_duration_seconds_count{{{_AT}}}": "0+2x120",
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
