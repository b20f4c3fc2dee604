"""vLLM pages of several versions under stable names; small pages in the shape of real ones, served over HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.settings import SettingsError, load
from exporter.sources.vllm import Vllm, VllmOptions
from exporter.sources.vllm.mappings import MAPPINGS
from exporter.sources.vllm.page import samples, snapshot
from tests.support.pages import collected, listener, series

WHO = 'server="s",model="m",engine="0",replica=""'


def replica(name: str) -> str:
    return WHO.replace('replica=""', f'replica="{name}"')


def source(*urls: str, **options: object) -> Vllm:
    return Vllm(VllmOptions.model_validate({"url": [Address(url) for url in urls], **options}))


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


def page_of(text: str) -> dict[str, float]:
    return series(samples(snapshot(text, "s")))


def test_a_current_page() -> None:
    page = page_of(CURRENT)

    assert page[f"vllm_requests_running{{{WHO}}}"] == 24
    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.25
    assert page[f"vllm_prompt_tokens_total{{{WHO}}}"] == 1806
    assert page[f'vllm_requests_finished_total{{{WHO},finished_reason="stop"}}'] == 27
    assert page[f'vllm_admission_rejections_total{{{WHO},reason="max_num_queued_reqs"}}'] == 2
    assert page[f'vllm_iteration_tokens_bucket{{{WHO},le="1.0"}}'] == 3
    assert page[f"vllm_iteration_tokens_count{{{WHO}}}"] == 5
    assert page[f"vllm_inter_token_latency_seconds_sum{{{WHO}}}"] == 0.5
    assert page['vllm_http_requests_total{server="s",handler="/v1/chat/completions",method="POST",status="2xx"}'] == 50
    assert page['vllm_metric_missing{server="s",metric="requests_running"}'] == 0
    assert page['vllm_metric_missing{server="s",metric="preemptions"}'] == 1
    assert not any("created" in name for name in page)


def test_twins_of_old_and_new_are_never_added_up() -> None:
    page = page_of(BOTH)

    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.4
    assert page[f"vllm_prefix_cache_hits_total{{{WHO}}}"] == 7


def test_an_old_page() -> None:
    page = page_of(OLD)

    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.3
    assert page[f"vllm_requests_swapped{{{WHO}}}"] == 1
    assert page[f"vllm_inter_token_latency_seconds_count{{{WHO}}}"] == 4


def test_replicas_of_ray_serve_are_series_of_their_own() -> None:
    """A replica that ends takes its series along: the sum of the others would look like a reset."""
    page = page_of(RAY)

    assert [page[f"vllm_requests_running{{{replica(name)}}}"] for name in "ab"] == [2, 3]
    assert [page[f"vllm_kv_cache_usage_ratio{{{replica(name)}}}"] for name in "ab"] == [0.2, 0.9]
    assert [page[f"vllm_generation_tokens_total{{{replica(name)}}}"] for name in "ab"] == [10, 20]
    assert [page[f"vllm_engine_healthy{{{replica(name)}}}"] for name in "ab"] == [1, 0]
    # Ray leaves out counters that never rose.
    assert [page[f"vllm_preemptions_total{{{replica(name)}}}"] for name in "ab"] == [0, 4]
    assert [page[f"vllm_prompt_tokens_total{{{replica(name)}}}"] for name in "ab"] == [0, 0]


def test_series_with_the_same_labels_are_merged_as_their_metric_requires() -> None:
    page = page_of(WORKERS)

    assert page[f"vllm_requests_waiting{{{WHO}}}"] == 5
    assert page[f'vllm_requests_waiting_by_reason{{{WHO},reason="capacity"}}'] == 5
    assert page[f"vllm_engine_healthy{{{WHO}}}"] == 0
    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.9
    assert page[f"vllm_estimated_flops_per_gpu_total{{{WHO}}}"] == 8
    assert page[f"vllm_request_queue_time_seconds_sum{{{WHO}}}"] == 11.5
    buckets = {name.rpartition('le="')[2]: value for name, value in page.items() if "queue_time_seconds_bucket" in name}
    assert buckets == {'1.0"}': 5, '+Inf"}': 7}  # only the bounds that both have


def test_metrics_of_recent_versions() -> None:
    page = page_of(ADDED)

    assert page[f"vllm_estimated_read_bytes_per_gpu_total{{{WHO}}}"] == 11
    assert page[f"vllm_estimated_write_bytes_per_gpu_total{{{WHO}}}"] == 12
    assert page[f'vllm_prompt_tokens_cached_by_source_total{{{WHO},origin="device"}}'] == 13
    for name in (
        "request_prefill_kv_computed_tokens",
        "request_max_generation_tokens",
        "request_params_n",
        "request_params_max_tokens",
    ):
        assert (page[f"vllm_{name}_sum{{{WHO}}}"], page[f"vllm_{name}_count{{{WHO}}}"]) == (3, 2)
        assert page[f'vllm_metric_missing{{server="s",metric="{name}"}}'] == 0
    lora = WHO.replace('model="m"', 'model=""')
    assert page[f'vllm_lora_adapters{{{lora},state="running"}}'] == 2  # of the latest series
    assert page[f'vllm_lora_adapters{{{lora},state="waiting"}}'] == 0
    assert page[f"vllm_max_lora_adapters{{{lora}}}"] == 4
    assert page_of(CURRENT)['vllm_metric_missing{server="s",metric="lora_adapters"}'] == 1


def test_a_repeated_series_counts_once_as_in_prometheus() -> None:
    text = CURRENT + 'vllm:num_requests_running{model_name="m",engine="0"} 5.0\n'

    assert page_of(text)[f"vllm_requests_running{{{WHO}}}"] == 24


@pytest.mark.parametrize("values", [("NaN", "0.5"), ("0.5", "NaN")])
def test_the_largest_of_a_number_and_nan_is_the_number(values: tuple[str, str]) -> None:
    lines = [f'vllm:kv_cache_usage_perc{{model_name="m",node="{value}"}} {value}' for value in values]

    assert page_of("\n".join([*lines, ""]))[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.5


def test_a_histogram_without_a_sum_has_buckets_only() -> None:
    lines = [line for line in CURRENT.splitlines() if "iteration_tokens_total_sum" not in line]
    page = page_of("\n".join([*lines, ""]))

    assert page[f'vllm_iteration_tokens_bucket{{{WHO},le="+Inf"}}'] == 5
    assert f"vllm_iteration_tokens_sum{{{WHO}}}" not in page
    assert f"vllm_iteration_tokens_count{{{WHO}}}" not in page


async def test_a_page_cut_in_the_middle_of_a_number_is_malformed() -> None:
    cut = CURRENT[: CURRENT.index("1806.0") + 2]
    reply = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + cut.encode()  # without the length of the body
    with listener(_says(reply)) as port, pytest.raises(SourceError, match="was cut short") as caught:
        await collected(source(f"http://127.0.0.1:{port}"))

    assert caught.value.reason is Reason.MALFORMED


def _says(reply: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


@pytest.mark.parametrize("body", [b"\x89PNG\x00secret bytes\n", b"vllm:x secret\n", b'vllm:x{a="secret\n'])
async def test_an_error_does_not_repeat_what_the_server_sent(body: bytes) -> None:
    with serving(body) as url, pytest.raises(SourceError) as caught:
        await collected(source(url))

    assert caught.value.reason is Reason.MALFORMED
    assert "secret" not in str(caught.value)


async def test_a_reply_in_another_protocol_is_not_repeated() -> None:
    with listener(_says(b"220 secret ESMTP\r\n" * 3)) as port, pytest.raises(SourceError) as caught:
        await collected(source(f"http://127.0.0.1:{port}"))

    assert caught.value.reason is Reason.MALFORMED
    assert "secret" not in str(caught.value)


async def test_pages_of_one_server_by_path_are_series_of_their_own() -> None:
    with serving(CURRENT.encode()) as url:
        page = await collected(source(f"{url}/a/metrics", f"{url}/b/metrics"))

    assert len([name for name in page if name.startswith("vllm_requests_running")]) == 2


@pytest.mark.parametrize("second", ["http://h:8000/metrics", "http://user@h:8000", "http://h:8000?name=x", "h:8000"])
def test_addresses_that_would_be_the_same_series_are_refused(second: str) -> None:
    with pytest.raises(SettingsError, match="one address per server"):
        load({"vllm.url": f"http://h:8000,{second}"}, {})


def test_a_gauge_repeated_per_pid_is_taken_once() -> None:
    assert page_of(PIDS)[f"vllm_requests_running{{{WHO}}}"] == 6


@pytest.mark.parametrize("text", ["", "# nothing\n", "up 1\n", "<html>not found</html>", "vllm:x{", 'vllm:x{a="b} 1'])
def test_what_is_no_vllm_page_is_malformed(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        page_of(text)

    assert caught.value.reason is Reason.MALFORMED


@given(st.text())
def test_any_text_is_a_page_or_malformed(text: str) -> None:
    for page in (text, f"vllm:num_requests_running{text} 1\n", f"vllm:{text} NaN\n"):
        try:
            list(samples(snapshot(page, "s")))
        except SourceError as error:
            assert error.reason is Reason.MALFORMED  # noqa: PT017 - either outcome is right, no other is


def test_every_mapping_has_names_of_its_own() -> None:
    names = [name for mapping in MAPPINGS for name in mapping.names]

    assert len(names) == len(set(names))


@contextmanager
def serving(body: bytes, *, status: int = 200, token: str = "") -> Iterator[str]:
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


async def test_servers_are_read_one_by_one_and_one_that_is_down_harms_no_other() -> None:
    with serving(CURRENT.encode()) as first, serving(OLD.encode()) as second:
        page = await collected(source(first, second))

    assert sum(name.startswith("vllm_kv_cache_usage_ratio") for name in page) == 2


async def test_a_token_is_sent_and_a_wrong_one_is_unauthorized() -> None:
    with serving(CURRENT.encode(), token="right") as url:
        assert await collected(source(url, token=SecretStr("right")))
        with pytest.raises(SourceError) as caught:
            await collected(source(url, token=SecretStr("wrong")))

    assert caught.value.reason is Reason.UNAUTHORIZED


async def test_a_page_of_fifty_megabytes_is_refused() -> None:
    with serving(b"vllm:x 1\n" * 5_800_000) as url, pytest.raises(SourceError, match="at most 8388608 bytes") as caught:
        await collected(source(url))

    assert caught.value.reason is Reason.MALFORMED


async def test_an_error_page_is_malformed() -> None:
    with serving(b"oops", status=500) as url, pytest.raises(SourceError, match="answers 500") as caught:
        await collected(source(url))

    assert caught.value.reason is Reason.MALFORMED
