"""vLLM pages of several versions under stable names; small pages in the shape of real ones, served over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.vllm import Vllm
from exporter.sources.vllm.concepts import CONCEPTS
from exporter.sources.vllm.page import parsed, samples
from tests.support.pages import collected, series

WHO = 'server="s",model="m",engine="0"'

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
"""
PIDS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m",pid="1"} 0.0
vllm:num_requests_running{engine="0",model_name="m",pid="2"} 6.0
"""


def page_of(text: str) -> dict[str, float]:
    return series(samples(parsed(text), "s"))


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
    assert page['vllm_concept_missing{server="s",concept="requests_running"}'] == 0
    assert page['vllm_concept_missing{server="s",concept="preemptions"}'] == 1
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


def test_a_page_of_ray_serve() -> None:
    page = page_of(RAY)

    assert page[f"vllm_requests_running{{{WHO}}}"] == 5
    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.9
    assert page[f"vllm_generation_tokens_total{{{WHO}}}"] == 30
    assert page[f"vllm_preemptions_total{{{WHO}}}"] == 0  # Ray leaves out counters that never rose


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
            list(samples(parsed(page), "s"))
        except SourceError as error:
            assert error.reason is Reason.MALFORMED  # noqa: PT017 - either outcome is right, no other is


def test_every_concept_is_a_name_of_its_own() -> None:
    names = [name for concept in CONCEPTS for name in concept.names]

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
        page = await collected(Vllm(url=(Address(first), Address(second))))

    assert sum(name.startswith("vllm_kv_cache_usage_ratio") for name in page) == 2


async def test_a_token_is_sent_and_a_wrong_one_is_unauthorized() -> None:
    with serving(CURRENT.encode(), token="right") as url:
        assert await collected(Vllm(url=(Address(url),), token=SecretStr("right")))
        with pytest.raises(SourceError) as caught:
            await collected(Vllm(url=(Address(url),), token=SecretStr("wrong")))

    assert caught.value.reason is Reason.UNAUTHORIZED


async def test_a_page_of_fifty_megabytes_is_refused() -> None:
    with serving(b"vllm:x 1\n" * 5_800_000) as url, pytest.raises(SourceError, match="at most 8388608 bytes") as caught:
        await collected(Vllm(url=(Address(url),)))

    assert caught.value.reason is Reason.MALFORMED


async def test_an_error_page_is_malformed() -> None:
    with serving(b"oops", status=500) as url, pytest.raises(SourceError, match="answers 500") as caught:
        await collected(Vllm(url=(Address(url),)))

    assert caught.value.reason is Reason.MALFORMED
