"""Metrics pages of vLLM, small and in the shape of real ones, and a server of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CURRENT = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 24.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 1806.0
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 27.0
# TYPE vllm:admission_rejections_total counter
vllm:admission_rejections_total{model_name="m",reason="max_num_queued_reqs"} 2.0
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 3.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="m"} 5.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 5.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 90.0
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.01",model_name="m"} 1.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf",model_name="m"} 2.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="m"} 0.5
# TYPE http_requests_total counter
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 50.0
"""
BOTH = """# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.4
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.4
# TYPE vllm:gpu_prefix_cache_hits_total counter
vllm:gpu_prefix_cache_hits_total{engine="0",model_name="m"} 7.0
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 7.0
"""
OLD = """# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.3
# TYPE vllm:num_requests_swapped gauge
vllm:num_requests_swapped{model_name="m"} 1.0
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_bucket{le="0.1",model_name="m"} 4.0
vllm:time_per_output_token_seconds_bucket{le="+Inf",model_name="m"} 4.0
vllm:time_per_output_token_seconds_sum{model_name="m"} 0.1
"""
RAY = """# TYPE ray_vllm_num_requests_running gauge
ray_vllm_num_requests_running{engine="0",model_name="m",ReplicaId="a",WorkerId="1"} 2.0
ray_vllm_num_requests_running{engine="0",model_name="m",ReplicaId="b",WorkerId="2"} 3.0
# TYPE ray_vllm_kv_cache_usage_perc gauge
ray_vllm_kv_cache_usage_perc{engine="0",model_name="m",ReplicaId="a"} 0.2
ray_vllm_kv_cache_usage_perc{engine="0",model_name="m",ReplicaId="b"} 0.9
# TYPE ray_vllm_generation_tokens_total counter
ray_vllm_generation_tokens_total{engine="0",model_name="m",ReplicaId="a"} 10.0
ray_vllm_generation_tokens_total{engine="0",model_name="m",ReplicaId="b"} 20.0
# TYPE ray_vllm_num_preemptions_total counter
ray_vllm_num_preemptions_total{engine="0",model_name="m",ReplicaId="b"} 4.0
# TYPE ray_vllm_engine_healthy gauge
ray_vllm_engine_healthy{engine="0",model_name="m",ReplicaId="a"} 1.0
ray_vllm_engine_healthy{engine="0",model_name="m",ReplicaId="b"} 0.0
"""
WORKERS = """# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m",node="a"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m",node="b"} 3.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",node="a",reason="capacity"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",node="b",reason="capacity"} 3.0
# TYPE vllm:engine_healthy gauge
vllm:engine_healthy{engine="0",model_name="m",node="a"} 1.0
vllm:engine_healthy{engine="0",model_name="m",node="b"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m",node="a"} 0.2
vllm:kv_cache_usage_perc{engine="0",model_name="m",node="b"} 0.9
# TYPE vllm:estimated_flops_per_gpu_total counter
vllm:estimated_flops_per_gpu_total{engine="0",model_name="m",node="a"} 7.0
vllm:estimated_flops_per_gpu_total{engine="0",model_name="m",node="b"} 8.0
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{engine="0",le="1.0",model_name="m",node="a"} 1.0
vllm:request_queue_time_seconds_bucket{engine="0",le="2.0",model_name="m",node="a"} 2.0
vllm:request_queue_time_seconds_bucket{engine="0",le="+Inf",model_name="m",node="a"} 2.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m",node="a"} 2.5
vllm:request_queue_time_seconds_bucket{engine="0",le="1.0",model_name="m",node="b"} 4.0
vllm:request_queue_time_seconds_bucket{engine="0",le="+Inf",model_name="m",node="b"} 5.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m",node="b"} 9.0
"""
ADDED = """# TYPE vllm:estimated_read_bytes_per_gpu_total counter
vllm:estimated_read_bytes_per_gpu_total{engine="0",model_name="m"} 11.0
# TYPE vllm:estimated_write_bytes_per_gpu_total counter
vllm:estimated_write_bytes_per_gpu_total{engine="0",model_name="m"} 12.0
# TYPE vllm:prompt_tokens_cached_by_source_total counter
vllm:prompt_tokens_cached_by_source_total{engine="0",model_name="m",source="device"} 13.0
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,b",waiting_lora_adapters=""} 1.7e+09
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a",waiting_lora_adapters="b,c,d"} 1.6e+09
""" + "".join(
    f"""# TYPE vllm:{name} histogram
vllm:{name}_bucket{{engine="0",le="1.0",model_name="m"}} 1.0
vllm:{name}_bucket{{engine="0",le="+Inf",model_name="m"}} 2.0
vllm:{name}_sum{{engine="0",model_name="m"}} 3.0
"""
    for name in (
        "request_prefill_kv_computed_tokens", "request_max_num_generation_tokens", "request_params_n",
        "request_params_max_tokens",
    )
)  # fmt: skip
PIDS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m",pid="1"} 0.0
vllm:num_requests_running{engine="0",model_name="m",pid="2"} 6.0
"""


@contextmanager
def serving(body: bytes, *, status: int = 200, token: str = "") -> Iterator[str]:
    """The URL of a server that answers every GET with this page, if the bearer token is right."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = not token or self.headers.get("authorization") == f"Bearer {token}"
            self.send_response(status if allowed else 401)
            self.send_header("content-length", str(len(body) if allowed else 0))
            self.end_headers()
            if allowed:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
